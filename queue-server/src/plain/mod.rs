//! The waiting room without a script: the same place, as a page that renews itself, and forms instead of requests.
//!
//! Its address stands beside the page with a script (`/queue/{product}/wait`), which leads here by `<noscript>`. Looking
//! never moves anybody here either: only what a form sends does.

mod text;

use std::fmt::Write as _;

use axum::Form;
use axum::extract::State;
use axum::http::header::{ACCEPT_LANGUAGE, CACHE_CONTROL, CONTENT_SECURITY_POLICY, LOCATION};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{Html, IntoResponse, Response};
use common::auth::Caller;
use common::http::extract::{IdempotencyKey, Path, Query};
use common::http::problem::Failure;
use common::wire::id::ProductId;
use common::wire::queue::{Place, QueueState};
use garde::Validate;
use serde::Deserialize;
use uuid::Uuid;

use self::text::{Language, Words};
use crate::app::App;
use crate::error::Error;
use crate::live;
use crate::room::http;

/// Nothing but the shop's own style sheet and icon, and forms that go to the shop.
const POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; \
                      frame-ancestors 'none'";
/// No page renews itself more often, in seconds: each time, a person has to find the line again.
const RENEW_MIN_S: i64 = 3;
/// When a page renews itself that has no place to show, in seconds.
const RETRY_S: i64 = 10;

/// What the page's address asks for.
#[derive(Debug, Default, Deserialize, Validate)]
pub(crate) struct Asked {
    /// How a login went that leads here: `wrong`, `busy`, or `over` where there is none to go on with.
    #[garde(skip)]
    login: Option<String>,
    /// Whether leaving is to be confirmed.
    #[garde(skip)]
    leave: Option<String>,
    /// Why a form changed nothing, as a code of docs/API.md.
    #[garde(skip)]
    problem: Option<String>,
}

/// A form that was sent.
#[derive(Debug, Deserialize)]
pub(crate) struct Wish {
    what: What,
    /// Makes a form that is sent twice one wish.
    key: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
enum What {
    Join,
    Leave,
    Enter,
}

/// `GET /queue/{product}/plain` → the page, for whoever is logged in with the place, for visitors with a login form.
pub(crate) async fn show(
    State(app): State<App>,
    Path(product): Path<ProductId>,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
    caller: Result<Caller, Failure>,
) -> Response {
    let language = headers.get(ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let page = Page { product, words: Words(Language::preferred(language)), asked };
    let Ok(caller) = caller else {
        // A login may go on though its token has ended; who comes back says how that went.
        if page.asked.login.is_none() {
            let to = format!("/api/auth/refresh?next=/queue/{product}/plain");
            return (StatusCode::SEE_OTHER, [(LOCATION, to)]).into_response();
        }
        return page.answer(StatusCode::OK, None, &page.login());
    };
    match live::http::show(State(app), Path(product), caller).await {
        Ok(place) => page.place(&place),
        Err(error) => {
            let failure = Failure::from(error);
            let body = page.paragraph("why", page.words.problem(failure.code));
            page.answer(failure.status, failure.status.is_server_error().then_some(RETRY_S), &body)
        }
    }
}

/// `POST /queue/{product}/plain`, a form → 303 to the page, also where a rule says no: the page says which.
pub(crate) async fn act(
    State(app): State<App>,
    Path(product): Path<ProductId>,
    caller: Result<Caller, Failure>,
    form: Result<Form<Wish>, axum::extract::rejection::FormRejection>,
) -> Result<Response, Failure> {
    let Form(wish) = form.map_err(|rejection| Failure::field("form", rejection.body_text()))?;
    let done = match caller {
        Ok(caller) => carry_out(app, product, caller, wish).await,
        // The page has the login form.
        Err(_) => Ok(()),
    };
    let to = match done {
        Ok(()) => format!("/queue/{product}/plain"),
        Err(error) => format!("/queue/{product}/plain?problem={}", Failure::from(error).code),
    };
    Ok((StatusCode::SEE_OTHER, [(LOCATION, to)]).into_response())
}

async fn carry_out(app: App, product: ProductId, caller: Caller, wish: Wish) -> Result<(), Error> {
    let (app, path) = (State(app), Path(product));
    match wish.what {
        What::Join => http::join(app, path, caller, wish.key.map(IdempotencyKey)).await.map(drop),
        What::Leave => http::leave(app, path, caller).await.map(drop),
        What::Enter => http::token(app, path, caller).await.map(drop),
    }
}

struct Page {
    product: ProductId,
    words: Words,
    asked: Asked,
}

impl Page {
    /// The page around `body`, which renews itself after `renew_s`.
    fn answer(&self, status: StatusCode, renew_s: Option<i64>, body: &str) -> Response {
        // Without the query: what it says was about the last step.
        let renew = renew_s.map_or_else(String::new, |seconds| {
            format!("<meta http-equiv=\"refresh\" content=\"{seconds}; url=plain\">")
        });
        let language = self.words.0.code();
        let html = format!(
            "<!doctype html><html lang=\"{language}\"><head><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">{renew}<title>Astraphe</title>\
             <link rel=\"icon\" href=\"/shared/icon.svg\"><link rel=\"stylesheet\" href=\"/queue/wait.css\"></head>\
             <body lang=\"{language}\"><header><a href=\"/\">Astraphe</a></header><main>{body}</main></body></html>"
        );
        (status, [(CONTENT_SECURITY_POLICY, POLICY), (CACHE_CONTROL, "no-store")], Html(html)).into_response()
    }

    fn place(&self, place: &Place) -> Response {
        if self.asked.leave.is_some() && may_leave(place.state) {
            return self.answer(StatusCode::OK, None, &self.confirmation());
        }
        let words = &self.words;
        let mut body = format!("<section><h1>{}", words.heading(place.state, place.rank.is_some()));
        if let Some(rank) = place.rank {
            write!(body, " <b id=\"rank\">{rank}</b>").ok();
        }
        body += "</h1>";
        if let Some(message) = &place.message {
            write!(body, "<p id=\"operator\"><b>{}</b></p>", escaped(message)).ok();
        }
        let reason = place.reason.map(|reason| words.reason(reason));
        let problem = self.asked.problem.as_deref().map(|code| words.problem(code));
        for text in reason.into_iter().chain(problem) {
            body += &self.paragraph("", text);
        }
        if let Some(at) = place.starts_at.or(place.claim_until).or(place.expires_at) {
            let left_s = (at - place.server_time).num_seconds().max(0);
            let (minutes, seconds) = (left_s / 60, left_s % 60);
            write!(body, "<p>{} <b>{minutes}:{seconds:02}</b></p>", words.left(place.state)).ok();
        }
        if let (Some(rank), Some(ahead)) = (place.rank, place.ahead) {
            let after = place.total.saturating_sub(rank);
            let eta = words.eta(place.eta_low_s, place.eta_high_s);
            for (name, value) in words.figures().into_iter().zip([ahead.to_string(), after.to_string(), eta])
            {
                write!(body, "<p>{name}: <b>{value}</b></p>").ok();
            }
        }
        body += "</section>";
        body += &self.forms(place.state);
        // A second later than told, as only whole ones can be said.
        let renew_s = (place.next_poll_at - place.server_time).num_seconds() + 1;
        self.answer(StatusCode::OK, Some(renew_s.max(RENEW_MIN_S)), &body)
    }

    /// What can be done in a state.
    fn forms(&self, state: QueueState) -> String {
        let words = &self.words;
        match state {
            QueueState::None
            | QueueState::Left
            | QueueState::Expired
            | QueueState::SoldOut
            | QueueState::Completed => self.form("join", "", words.join()),
            QueueState::Ready => self.form("enter", "", words.enter()) + &self.leave_link(),
            QueueState::Waiting => self.leave_link() + &self.paragraph("quiet", words.keep()),
            QueueState::Admitted => {
                format!("<p><a href=\"/product.html?id={}\">{}</a></p>", self.product, words.product())
            }
            QueueState::Closed => String::new(),
        }
    }

    fn form(&self, what: &str, class: &str, label: &str) -> String {
        format!(
            "<form method=\"post\" action=\"plain\"><input type=\"hidden\" name=\"key\" value=\"{}\">\
             <button name=\"what\" value=\"{what}\" class=\"{class}\">{label}</button></form>",
            Uuid::new_v4()
        )
    }

    fn leave_link(&self) -> String {
        format!("<p><a href=\"plain?leave=1\">{}</a></p>", self.words.leave())
    }

    fn confirmation(&self) -> String {
        let words = &self.words;
        let question = self.paragraph("", words.sure());
        let stay = format!("<p><a href=\"plain\">{}</a></p>", words.stay());
        format!("<section>{question}{stay}{}</section>", self.form("leave", "quiet", words.leave()))
    }

    /// The user service takes the form and leads back here.
    fn login(&self) -> String {
        let words = &self.words;
        let [title, id, password, log_in] = words.login();
        let failed = match self.asked.login.as_deref() {
            Some("wrong") => self.paragraph("", words.problem("wrong-credentials")),
            Some("busy") => self.paragraph("", words.problem("busy")),
            Some(_) | None => String::new(),
        };
        format!(
            "<section><h1>{title}</h1>{failed}<form method=\"post\" action=\"/login\">\
             <input type=\"hidden\" name=\"next\" value=\"/queue/{}/plain\">\
             <label><span>{id}</span><input name=\"loginId\" autocomplete=\"username\" required></label>\
             <label><span>{password}</span><input name=\"password\" type=\"password\" \
             autocomplete=\"current-password\" required></label><button>{log_in}</button></form></section>",
            self.product
        )
    }

    fn paragraph(&self, class: &str, text: &str) -> String {
        format!("<p class=\"{class}\">{text}</p>")
    }
}

fn may_leave(state: QueueState) -> bool {
    matches!(state, QueueState::Waiting | QueueState::Ready)
}

/// What people wrote, as text between tags.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_wrote_is_no_markup() {
        assert_eq!(escaped("<script>1 & 2</script>"), "&lt;script&gt;1 &amp; 2&lt;/script&gt;");
    }
}
