//! The login as a cookie: for pages, whose scripts never see it, and for event streams, which send no `Authorization`.

use common::clock::Clock;
use common::http::cookie::{IDENTITY_COOKIE, is_loopback};
use common::wire::user::LoginView;
use http::{HeaderMap, header};

/// `Set-Cookie` with the identity, for as long as its token lives.
pub(super) fn of(login: &LoginView, clock: &Clock, asked: &HeaderMap) -> String {
    cookie(&login.access_token, (login.expires_at.timestamp() - clock.now_s()).max(0), asked)
}

/// `Set-Cookie` that makes the browser forget it.
pub(super) fn none(asked: &HeaderMap) -> String {
    cookie("", 0, asked)
}

/// `Lax`: a link from elsewhere opens a page logged in, a request that another page makes does not carry it. `Secure`
/// unless the shop is asked for on this machine itself, where nothing has a certificate.
fn cookie(value: &str, max_age_s: i64, asked: &HeaderMap) -> String {
    let host = asked.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let secure = if is_loopback(host) { "" } else { "; Secure" };
    format!("{IDENTITY_COOKIE}={value}; Max-Age={max_age_s}; Path=/; HttpOnly; SameSite=Lax{secure}")
}
