//! The login as cookies: for pages, whose scripts never see them, and for event streams, which send no
//! `Authorization`. The refresh token is sent to where it is used and nowhere else.

use axum::response::AppendHeaders;
use common::clock::Clock;
use common::http::cookie::{DEVICE_COOKIE, IDENTITY_COOKIE, LOGIN_PATH, REFRESH_COOKIE, is_loopback, values};
use common::wire::user::LoginView;
use http::header::{HOST, SET_COOKIE};
use http::{HeaderMap, HeaderName};

use super::RefreshToken;
use crate::attempt::Device;

/// How long a browser is remembered, in seconds: a year.
const DEVICE_TTL_S: i64 = 365 * 86_400;

/// `Set-Cookie` lines.
pub(super) type Cookies = AppendHeaders<Vec<(HeaderName, String)>>;

/// The identity for as long as its token lives, and the refresh token for as long as the login lasts unused.
pub(super) fn of(login: &LoginView, session_ttl_s: u32, clock: &Clock, asked: &HeaderMap) -> Cookies {
    let lives_s = (login.expires_at.timestamp() - clock.now_s()).max(0);
    AppendHeaders(vec![
        (SET_COOKIE, identity(&login.access_token, lives_s, asked)),
        (SET_COOKIE, inside(REFRESH_COOKIE, &login.refresh_token, session_ttl_s.into(), asked)),
    ])
}

/// One more line, that names the browser for its next login.
pub(super) fn device(device: Device, asked: &HeaderMap) -> (HeaderName, String) {
    (SET_COOKIE, inside(DEVICE_COOKIE, &device.text(), DEVICE_TTL_S, asked))
}

/// Makes the browser forget the login.
pub(super) fn none(asked: &HeaderMap) -> Cookies {
    AppendHeaders(vec![
        (SET_COOKIE, identity("", 0, asked)),
        (SET_COOKIE, inside(REFRESH_COOKIE, "", 0, asked)),
    ])
}

/// The refresh token that a browser sent; none where there is more than one, as one of them is not ours.
pub(super) fn refresh_token(asked: &HeaderMap) -> Option<RefreshToken> {
    let mut found = values(asked, REFRESH_COOKIE);
    let token = RefreshToken::read(found.next()?)?;
    found.next().is_none().then_some(token)
}

/// `Lax` here and below: a link from elsewhere opens a page logged in, a request that another page makes does not carry it.
fn identity(value: &str, max_age_s: i64, asked: &HeaderMap) -> String {
    format!("{IDENTITY_COOKIE}={value}; Max-Age={max_age_s}; Path=/; HttpOnly; SameSite=Lax{}", secure(asked))
}

fn inside(name: &str, value: &str, max_age_s: i64, asked: &HeaderMap) -> String {
    let secure = secure(asked);
    format!("{name}={value}; Max-Age={max_age_s}; Path={LOGIN_PATH}; HttpOnly; SameSite=Lax{secure}")
}

/// `Secure`, unless the shop is asked for on this machine itself, where nothing has a certificate.
fn secure(asked: &HeaderMap) -> &'static str {
    let host = asked.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    if is_loopback(host) { "" } else { "; Secure" }
}
