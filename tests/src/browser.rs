//! A real Chromium, driven over the DevTools protocol.
//!
//! Whatever a page complains about (errors on the console, uncaught exceptions, violations of the
//! content security policy) is collected, so that a test can say that there was nothing.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_tungstenite::{WebSocketStream, client_async, tungstenite::Message};

/// The longest that a start, an answer or a condition may take.
pub const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(50);
const NAMES: [&str; 4] = [
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
];
const FLAGS: &[&str] = &[
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-extensions",
    "--disable-sync",
    "--no-first-run",
    "--no-default-browser-check",
    "--password-store=basic",
    "--remote-debugging-port=0",
    "--window-size=1280,900",
];

/// Why the browser could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum BrowserError {
    /// There is none, and a test must not be skipped.
    #[error("no Chromium found (looked for {NAMES:?} and NIXFLEET_CHROMIUM); install it")]
    Missing,
    /// It could not be started or reached.
    #[error("Chromium could not be started or reached: {0}")]
    Start(#[from] std::io::Error),
    /// The connection to it broke.
    #[error("the connection to Chromium broke: {0}")]
    Socket(#[from] Box<tokio_tungstenite::tungstenite::Error>),
    /// It ended, or closed the connection.
    #[error("Chromium ended; what it wrote:\n{0}")]
    Ended(String),
    /// It refused a command, or a script threw.
    #[error("{0}")]
    Refused(String),
    /// Something did not happen in time.
    #[error("waited in vain for {what}; the page shows:\n{page}")]
    InVain {
        /// What was waited for.
        what: String,
        /// The text of the page.
        page: String,
    },
}

/// A browser with one page.
#[derive(Debug)]
pub struct Browser {
    socket: WebSocketStream<TcpStream>,
    session: String,
    next: u64,
    troubles: Vec<String>,
    process: Child,
    profile: TempDir,
}

impl Browser {
    /// Starts a browser with a fresh profile. Where there is no Chromium, says so loudly and gives
    /// none, unless `NIXFLEET_REQUIRE_BROWSER=1`.
    ///
    /// # Errors
    /// If it cannot be started, or is missing although required.
    pub async fn launch(test: &str) -> Result<Option<Self>, BrowserError> {
        let Some(program) = find() else {
            if std::env::var_os("NIXFLEET_REQUIRE_BROWSER").is_some_and(|value| value == "1") {
                return Err(BrowserError::Missing);
            }
            eprintln!("SKIPPED: {test}: {}", BrowserError::Missing);
            return Ok(None);
        };
        let profile = tempfile::tempdir()?;
        let log = File::create(profile.path().join("stderr"))?;
        let process = Command::new(program)
            .args(FLAGS)
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg("about:blank")
            .env("HOME", profile.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let (port, path) = address(profile.path()).await?;
        let stream = TcpStream::connect(("127.0.0.1", port)).await?;
        let url = format!("ws://127.0.0.1:{port}{path}");
        let (socket, _) = client_async(url, stream).await.map_err(Box::new)?;
        let mut browser = Self {
            socket,
            session: String::new(),
            next: 0,
            troubles: Vec::new(),
            process,
            profile,
        };
        browser.attach().await?;
        Ok(Some(browser))
    }

    /// Goes to an address and waits until the page is loaded.
    ///
    /// # Errors
    /// If it cannot be loaded.
    pub async fn open(&mut self, url: &str) -> Result<(), BrowserError> {
        let answer = self.call("Page.navigate", json!({"url": url})).await?;
        if let Some(error) = answer["errorText"].as_str() {
            return Err(BrowserError::Refused(format!("{url}: {error}")));
        }
        self.wait_for("document.readyState === 'complete'", "the page to load")
            .await
    }

    /// The value of an expression; a promise is waited for.
    ///
    /// # Errors
    /// If it throws.
    pub async fn evaluate(&mut self, expression: &str) -> Result<Value, BrowserError> {
        let parameters =
            json!({"expression": expression, "awaitPromise": true, "returnByValue": true});
        let answer = self.call("Runtime.evaluate", parameters).await?;
        match answer.get("exceptionDetails") {
            Some(details) => Err(BrowserError::Refused(exception(details))),
            None => Ok(answer["result"]["value"].clone()),
        }
    }

    /// Waits until an expression is true.
    ///
    /// # Errors
    /// If that does not happen within [`PATIENCE`].
    pub async fn wait_for(&mut self, expression: &str, what: &str) -> Result<(), BrowserError> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            // A script that is cut off by a navigation is simply asked again.
            let answer = self.evaluate(&format!("Boolean({expression})")).await;
            match answer {
                Ok(Value::Bool(true)) => return Ok(()),
                Ok(_) | Err(BrowserError::Refused(_)) if Instant::now() < deadline => {
                    sleep(PAUSE).await;
                }
                Ok(_) | Err(BrowserError::Refused(_)) => break,
                Err(broken) => return Err(broken),
            }
        }
        let page = self.evaluate("document.body.innerText").await;
        let troubles = self.troubles.join("\n");
        Err(BrowserError::InVain {
            what: what.to_owned(),
            page: format!("{}\n{troubles}", page.unwrap_or_default()),
        })
    }

    /// Moves the mouse onto an element.
    ///
    /// # Errors
    /// If there is no such element.
    pub async fn hover(&mut self, selector: &str) -> Result<(), BrowserError> {
        let (x, y) = self.centre(selector).await?;
        self.mouse("mouseMoved", x, y).await
    }

    /// Clicks on an element with the mouse; what covers it would get the click.
    ///
    /// # Errors
    /// If there is no such element.
    pub async fn click(&mut self, selector: &str) -> Result<(), BrowserError> {
        let (x, y) = self.centre(selector).await?;
        for kind in ["mouseMoved", "mousePressed", "mouseReleased"] {
            self.mouse(kind, x, y).await?;
        }
        Ok(())
    }

    /// Types text into the focused element.
    ///
    /// # Errors
    /// If the browser refuses.
    pub async fn type_text(&mut self, text: &str) -> Result<(), BrowserError> {
        let parameters = json!({"text": text});
        self.call("Input.insertText", parameters).await.map(drop)
    }

    /// Presses a key by its name, for example `Tab`, `Enter` or `Escape`.
    ///
    /// # Errors
    /// If the browser refuses.
    pub async fn press(&mut self, key: &str) -> Result<(), BrowserError> {
        let code = match key {
            "Tab" => 9,
            "Enter" => 13,
            "Escape" => 27,
            _ => 0,
        };
        let text = if key == "Enter" { "\r" } else { "" };
        for kind in ["keyDown", "keyUp"] {
            let parameters = json!({"type": kind, "key": key, "code": key, "text": text,
                "windowsVirtualKeyCode": code});
            self.call("Input.dispatchKeyEvent", parameters).await?;
        }
        Ok(())
    }

    /// Everything the page complained about since the last call.
    ///
    /// # Errors
    /// If the browser is gone.
    pub async fn take_troubles(&mut self) -> Result<Vec<String>, BrowserError> {
        self.evaluate("new Promise((done) => setTimeout(done, 0))")
            .await?;
        Ok(std::mem::take(&mut self.troubles))
    }

    /// Sends any command of the protocol to the page.
    ///
    /// # Errors
    /// If the browser refuses it.
    pub async fn call(&mut self, method: &str, parameters: Value) -> Result<Value, BrowserError> {
        self.next += 1;
        let id = self.next;
        let mut request = json!({"id": id, "method": method, "params": parameters});
        if !self.session.is_empty() {
            request["sessionId"] = self.session.clone().into();
        }
        let request = Message::text(request.to_string());
        self.socket.send(request).await.map_err(Box::new)?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let Ok(received) = timeout_at(deadline, self.socket.next()).await else {
                return Err(BrowserError::Refused(format!("no answer to {method}")));
            };
            let Some(frame) = received.transpose().map_err(Box::new)? else {
                return Err(BrowserError::Ended(self.log()));
            };
            let Ok(text) = frame.to_text() else { continue };
            let Ok(mut message) = serde_json::from_str::<Value>(text) else {
                continue;
            };
            if message["id"] != id {
                self.troubles.extend(trouble(&message));
                continue;
            }
            return match message.get("error") {
                Some(error) => Err(BrowserError::Refused(format!("{method}: {error}"))),
                None => Ok(message["result"].take()),
            };
        }
    }

    async fn attach(&mut self) -> Result<(), BrowserError> {
        let target = json!({"url": "about:blank"});
        let target = self.call("Target.createTarget", target).await?["targetId"].clone();
        let target = json!({"targetId": target, "flatten": true});
        let answer = self.call("Target.attachToTarget", target).await?;
        self.session = answer["sessionId"].as_str().unwrap_or_default().to_owned();
        for domain in ["Page", "Runtime", "Log", "Audits"] {
            self.call(&format!("{domain}.enable"), json!({})).await?;
        }
        Ok(())
    }

    async fn centre(&mut self, selector: &str) -> Result<(f64, f64), BrowserError> {
        let selector = Value::from(selector);
        let script = format!(
            "(() => {{ const found = document.querySelector({selector}); \
             if (!found) throw new Error('no element ' + {selector}); \
             found.scrollIntoView({{block: 'center', behavior: 'instant'}}); \
             const box = found.getBoundingClientRect(); \
             return [box.left + box.width / 2, box.top + box.height / 2]; }})()"
        );
        let centre = self.evaluate(&script).await?;
        let number = |index: usize| centre[index].as_f64().unwrap_or_default();
        Ok((number(0), number(1)))
    }

    async fn mouse(&mut self, kind: &str, x: f64, y: f64) -> Result<(), BrowserError> {
        let button = if kind == "mouseMoved" { "none" } else { "left" };
        let parameters = json!({"type": kind, "x": x, "y": y, "button": button, "clickCount": 1});
        self.call("Input.dispatchMouseEvent", parameters)
            .await
            .map(drop)
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.profile.path().join("stderr")).unwrap_or_default()
    }
}

impl Drop for Browser {
    /// Ends the browser with all its helper processes.
    fn drop(&mut self) {
        if let Some(pid) = self.process.id().and_then(|pid| i32::try_from(pid).ok()) {
            let _ = killpg(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
}

fn find() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("NIXFLEET_CHROMIUM") {
        return Some(PathBuf::from(named)).filter(|path| path.is_file());
    }
    let path = std::env::var_os("PATH")?;
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let mut candidates = NAMES
        .iter()
        .flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
    candidates.find(|candidate| candidate.is_file())
}

/// The port and path of the protocol, which the browser writes into its profile.
async fn address(profile: &Path) -> Result<(u16, String), BrowserError> {
    let file = profile.join("DevToolsActivePort");
    let read = async {
        loop {
            let text = std::fs::read_to_string(&file).unwrap_or_default();
            let mut lines = text.lines();
            let port = lines.next().and_then(|line| line.parse().ok());
            if let (Some(port), Some(path)) = (port, lines.next()) {
                return (port, path.to_owned());
            }
            sleep(PAUSE).await;
        }
    };
    timeout(PATIENCE, read).await.map_err(|_| {
        let log = std::fs::read_to_string(profile.join("stderr")).unwrap_or_default();
        BrowserError::Ended(log)
    })
}

/// The complaint in an event, if it is one.
fn trouble(event: &Value) -> Option<String> {
    let parameters = &event["params"];
    match event["method"].as_str()? {
        "Runtime.exceptionThrown" => Some(exception(&parameters["exceptionDetails"])),
        "Runtime.consoleAPICalled" if parameters["type"] == "error" => {
            Some(format!("console: {}", parameters["args"]))
        }
        "Log.entryAdded" if parameters["entry"]["level"] == "error" => {
            let entry = &parameters["entry"];
            let text = entry["text"].as_str().unwrap_or_default();
            Some(format!("{text} ({})", entry["url"].as_str().unwrap_or("")))
        }
        "Audits.issueAdded" => {
            let details = &parameters["issue"]["details"]["contentSecurityPolicyIssueDetails"];
            details.is_object().then(|| format!("policy: {details}"))
        }
        _ => None,
    }
}

fn exception(details: &Value) -> String {
    let described = details["exception"]["description"].as_str();
    let text = details["text"].as_str().unwrap_or("exception");
    format!("uncaught: {}", described.unwrap_or(text))
}
