//! A browser's window: what a shopper sees of a page and does with it.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use testkit::eventually;

use crate::browser::Devtools;
use crate::shop::{PATIENCE, Shopper, shared};

/// Whether the browser has shown the page. A picture that is asked for earlier never comes.
const PAINTED: &str = "performance.getEntriesByType('paint').length > 0";

/// One tab. Windows opened by [`Window::open`] share nothing; [`Window::tab`] opens one more of the same person.
pub(crate) struct Window {
    devtools: Devtools,
    session: String,
    context: String,
}

impl Window {
    /// A window of somebody new, in a language and as wide as given, in pixels. When it is dropped, it closes, and with
    /// it all tabs of the same person.
    pub(crate) async fn open(language: &str, width: u32) -> Self {
        let mut devtools = Devtools::connect().await;
        let context = devtools
            .call(None, "Target.createBrowserContext", json!({"disposeOnDetach": true}))
            .await
            .unwrap();
        let context = context["browserContextId"].as_str().unwrap().to_owned();
        Self::new(devtools, context, language, width).await
    }

    /// A window of a shopper who is logged in.
    pub(crate) async fn of(shopper: &Shopper) -> Self {
        let mut window = Self::open("en", 1_000).await;
        let cookie = json!({
            "name": "identity", "value": shopper.token, "url": shared().stack.gateway(), "httpOnly": true, "sameSite": "Lax",
        });
        window.call("Network.setCookie", cookie).await;
        window
    }

    /// One more tab of the same person.
    pub(crate) async fn tab(&self) -> Self {
        Self::new(Devtools::connect().await, self.context.clone(), "en", 1_000).await
    }

    async fn new(mut devtools: Devtools, context: String, language: &str, width: u32) -> Self {
        let target = json!({"url": "about:blank", "browserContextId": context, "newWindow": true});
        let target = devtools.call(None, "Target.createTarget", target).await.unwrap()["targetId"].take();
        let attach = json!({"targetId": target, "flatten": true});
        let session = devtools.call(None, "Target.attachToTarget", attach).await.unwrap();
        let session = session["sessionId"].as_str().unwrap().to_owned();
        let mut window = Self { devtools, session, context };
        for domain in ["Page", "Runtime", "Log", "Network"] {
            window.call(&format!("{domain}.enable"), json!({})).await;
        }
        let agent = window.eval("navigator.userAgent").await;
        window
            .call("Emulation.setUserAgentOverride", json!({"userAgent": agent, "acceptLanguage": language}))
            .await;
        let screen = json!({"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 600});
        window.call("Emulation.setDeviceMetricsOverride", screen).await;
        window
    }

    pub(crate) async fn call(&mut self, method: &str, params: Value) -> Value {
        self.devtools.call(Some(&self.session), method, params).await.unwrap()
    }

    /// Goes to a path of the shop.
    pub(crate) async fn go(&mut self, path: &str) {
        self.visit(&format!("{}{path}", shared().stack.gateway())).await;
    }

    /// Goes to an address.
    pub(crate) async fn visit(&mut self, url: &str) {
        let answer = self.call("Page.navigate", json!({"url": url})).await;
        assert!(answer["errorText"].is_null(), "{url}: {answer}");
    }

    /// What an expression gives in the page.
    pub(crate) async fn eval(&mut self, expression: &str) -> Value {
        self.try_eval(expression).await.unwrap()
    }

    async fn try_eval(&mut self, expression: &str) -> anyhow::Result<Value> {
        let ask = json!({"expression": expression, "returnByValue": true, "awaitPromise": true, "userGesture": true});
        let mut answer = self.devtools.call(Some(&self.session), "Runtime.evaluate", ask).await?;
        ensure!(answer["exceptionDetails"].is_null(), "{expression}: {}", answer["exceptionDetails"]);
        Ok(answer["result"]["value"].take())
    }

    /// Waits until an expression is true. Says what the page shows when it never is.
    pub(crate) async fn until(&mut self, expression: &str) {
        eventually(PATIENCE, async || {
            if self.try_eval(expression).await? == true {
                return Ok(());
            }
            let shown = "`${location.pathname} [${document.body.className}, ${navigator.onLine ? 'on' : 'off'} line] ${document.body.innerText}`";
            let shown = self.try_eval(shown).await?;
            anyhow::bail!(
                "{expression} is not true of {shown}, after {:?} and {:?}",
                self.requests(),
                self.errors()
            )
        })
        .await;
    }

    /// Waits until the page shows a text. Before the style sheet is there, it would "show" all that it holds.
    pub(crate) async fn sees(&mut self, text: &str) {
        self.until(&format!("{PAINTED} && document.body.innerText.includes({})", json!(text))).await;
    }

    /// Clicks with the mouse, once the thing is there to be clicked: painted, and where it was a moment before.
    pub(crate) async fn click(&mut self, selector: &str) {
        let selector = json!(selector);
        // The browser drops clicks on a page that it has not painted yet.
        let place = format!(
            "(() => {{ const thing = document.querySelector({selector}); \
             if (!({PAINTED}) || !thing?.checkVisibility()) return null; \
             thing.scrollIntoView({{block: 'nearest'}}); \
             const {{x, y, width, height}} = thing.getBoundingClientRect(); \
             const at = [x + width / 2, y + height / 2]; \
             return thing.contains(document.elementFromPoint(...at)) ? at : null; }})()"
        );
        let mut before = Value::Null;
        let place = eventually(PATIENCE, async || {
            let now = self.try_eval(&place).await?;
            let is_still = now.is_array() && now == std::mem::replace(&mut before, now.clone());
            ensure!(is_still, "{selector} is not to be seen, or moves");
            Ok(now)
        })
        .await;
        for kind in ["mousePressed", "mouseReleased"] {
            let event =
                json!({"type": kind, "x": place[0], "y": place[1], "button": "left", "clickCount": 1});
            self.call("Input.dispatchMouseEvent", event).await;
        }
    }

    /// Types into a field.
    pub(crate) async fn fill(&mut self, selector: &str, text: &str) {
        self.click(selector).await;
        self.call("Input.insertText", json!({"text": text})).await;
    }

    /// Takes the network away, or gives it back.
    pub(crate) async fn offline(&mut self, is_offline: bool) {
        let conditions =
            json!({"offline": is_offline, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1});
        self.call("Network.emulateNetworkConditions", conditions).await;
    }

    /// Waits until an event stream has brought this.
    pub(crate) async fn hears(&mut self, text: &str) {
        eventually(PATIENCE, async || {
            // The browser's reports come with its answers.
            self.try_eval("0").await?;
            let mut reports = self.devtools.events.iter();
            let is_heard = reports.any(|event| {
                let data = event["params"]["data"].as_str();
                event["method"] == "Network.eventSourceMessageReceived"
                    && data.is_some_and(|data| data.contains(text))
            });
            ensure!(is_heard, "no event with {text}, after {:?}", self.requests());
            Ok(())
        })
        .await;
    }

    /// All requests so far, as `METHOD url`.
    pub(crate) fn requests(&self) -> Vec<String> {
        let sent = self.devtools.events.iter().filter(|event| event["method"] == "Network.requestWillBeSent");
        let request = |event: &Value| {
            let request = &event["params"]["request"];
            format!("{} {}", request["method"].as_str().unwrap(), request["url"].as_str().unwrap())
        };
        sent.map(request).collect()
    }

    /// Everything that went wrong on the page so far: errors of scripts, of the policy and of requests.
    pub(crate) fn errors(&self) -> Vec<String> {
        let of = |event: &&Value| match event["method"].as_str() {
            Some("Runtime.exceptionThrown") => true,
            Some("Log.entryAdded") => event["params"]["entry"]["level"] == "error",
            Some("Runtime.consoleAPICalled") => event["params"]["type"] == "error",
            _ => false,
        };
        self.devtools.events.iter().filter(of).map(Value::to_string).collect()
    }

    /// Asserts that nothing has gone wrong, and that nothing is wider than the window.
    pub(crate) async fn is_fine(&mut self) {
        let wider =
            self.eval("document.documentElement.scrollWidth - document.documentElement.clientWidth").await;
        assert_eq!(wider, 0, "the page scrolls sideways");
        assert_eq!(self.errors(), [""; 0]);
    }

    /// Writes a picture of the page.
    pub(crate) async fn shoot(&mut self, file: &Path) {
        use std::io::Write as _;
        self.until(PAINTED).await;
        let picture = self
            .call("Page.captureScreenshot", json!({"format": "png", "captureBeyondViewport": true}))
            .await;
        let picture = picture["data"].as_str().context("no picture").unwrap();
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        let mut decoder = std::process::Command::new("base64")
            .arg("-d")
            .stdin(std::process::Stdio::piped())
            .stdout(fs::File::create(file).unwrap())
            .spawn()
            .unwrap();
        decoder.stdin.take().unwrap().write_all(picture.as_bytes()).unwrap();
        assert!(decoder.wait().unwrap().success());
    }
}
