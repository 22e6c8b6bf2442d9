//! A headless Chromium of our own, and pages in it, driven over the DevTools protocol.

use std::env;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio, id};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

/// Names by which a Chromium is found on the path.
const NAMES: [&str; 5] =
    ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"];

/// How long a browser may take to start: it is cold and the machine may be busy.
const START: Duration = Duration::from_secs(60);

/// Tries to remove a killed browser's files, while the last of its processes end.
const REMOVALS_MAX: u32 = 200;

/// Looks at a page whenever it changes, until it is as wanted or the wait was too long; says what
/// it was then.
const BECOMES: &str = "(look, wanted) => new Promise((done) => {
    const events = ['focusin', 'input', 'load', 'scroll'];
    const changes = new MutationObserver(() => check());
    const late = setTimeout(() => end(look()), 60e3);
    const end = (seen) => {
        for (const event of events) removeEventListener(event, check, true);
        changes.disconnect();
        clearTimeout(late);
        done(seen);
    };
    const check = () => {
        const seen = look();
        if (JSON.stringify(seen) === JSON.stringify(wanted)) end(seen);
    };
    for (const event of events) addEventListener(event, check, true);
    changes.observe(document, {
        attributes: true, characterData: true, childList: true, subtree: true,
    });
    check();
})";

/// Numbers the browsers of this process, whose files are apart.
static BROWSERS: AtomicU32 = AtomicU32::new(0);

/// A Chromium with a home of its own; dropping it ends it and removes what it wrote.
pub(crate) struct Browser {
    devtools: Arc<Mutex<DevTools>>,
    // Fields are dropped in order: first the process, then its files.
    _process: Process,
    _home: Home,
}

impl Browser {
    /// Starts the Chromium that is installed; `None`, and says so, if there is none.
    pub(crate) async fn start() -> Option<Self> {
        let Some(program) = find() else {
            let test = thread::current().name().unwrap_or("a test of the page").to_owned();
            eprintln!("skipped: {test}: no Chromium found; name one in WEIR_CHROMIUM");
            return None;
        };
        let home = Home::new();
        let (process, url) = Process::start(&program, &home.0);
        let devtools = Arc::new(Mutex::new(DevTools::connect(&url).await));
        Some(Self { devtools, _process: process, _home: home })
    }

    /// A page that shares no storage with others, in a window of this size.
    pub(crate) async fn page(&self, width: u32, height: u32) -> Page {
        let mut devtools = self.devtools.lock().await;
        let context = devtools.call(None, "Target.createBrowserContext", json!({})).await;
        let target = json!({
            "url": "about:blank",
            "browserContextId": context["browserContextId"],
        });
        let target = devtools.call(None, "Target.createTarget", target).await;
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let attached = devtools.call(None, "Target.attachToTarget", attach).await;
        let session = attached["sessionId"].as_str().expect("a session has an id").to_owned();
        drop(devtools);
        let page = Page { devtools: Arc::clone(&self.devtools), session };
        for domain in ["Runtime.enable", "Log.enable", "Page.enable"] {
            page.call(domain, json!({})).await;
        }
        // Each is in front, as far as it knows: else only one could have the keyboard.
        page.call("Emulation.setFocusEmulationEnabled", json!({ "enabled": true })).await;
        page.resize(width, height).await;
        page
    }

    /// Errors and warnings of all consoles until now.
    pub(crate) async fn troubles(&self) -> Vec<String> {
        let mut devtools = self.devtools.lock().await;
        // What was reported before the answer has been read with it.
        devtools.call(None, "Browser.getVersion", json!({})).await;
        devtools.troubles.clone()
    }
}

/// One page of a browser.
pub(crate) struct Page {
    devtools: Arc<Mutex<DevTools>>,
    session: String,
}

impl Page {
    pub(crate) async fn call(&self, method: &str, params: Value) -> Value {
        self.devtools.lock().await.call(Some(&self.session), method, params).await
    }

    pub(crate) async fn resize(&self, width: u32, height: u32) {
        let size = json!({
            "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500,
        });
        self.call("Emulation.setDeviceMetricsOverride", size).await;
    }

    /// Goes to an address, and waits until all of it is there.
    pub(crate) async fn navigate(&self, url: &str) {
        let answer = self.call("Page.navigate", json!({ "url": url })).await;
        assert!(answer["errorText"].is_null(), "{url}: {answer}");
        while self.evaluate("document.readyState").await != "complete" {}
    }

    /// What an expression of JavaScript is worth, after the promise it may be.
    pub(crate) async fn evaluate(&self, expression: &str) -> Value {
        let params = json!({
            "expression": expression, "awaitPromise": true, "returnByValue": true,
        });
        let answer = self.call("Runtime.evaluate", params).await;
        assert!(answer["exceptionDetails"].is_null(), "{expression}: {answer}");
        answer["result"]["value"].clone()
    }

    /// Waits until an expression has this worth, looking whenever the page changes.
    pub(crate) async fn becomes(&self, expression: &str, wanted: Value) {
        let seen = self.evaluate(&format!("({BECOMES})(() => {expression}, {wanted})")).await;
        // Why it is not is often in the console.
        let devtools = self.devtools.lock().await;
        assert_eq!(seen, wanted, "{expression}; the console has {:#?}", devtools.troubles);
    }

    /// Types into what has the focus.
    pub(crate) async fn write(&self, text: &str) {
        self.call("Input.insertText", json!({ "text": text })).await;
    }

    /// Presses and releases a key such as `Enter`.
    pub(crate) async fn press(&self, key: &str) {
        let (code, text) = match key {
            "Tab" => (9, ""),
            "Enter" => (13, "\r"),
            "Escape" => (27, ""),
            "ArrowUp" => (38, ""),
            "ArrowDown" => (40, ""),
            other => panic!("{other} is a key that no test needed before"),
        };
        let down = if text.is_empty() { "rawKeyDown" } else { "keyDown" };
        for kind in [down, "keyUp"] {
            let event = json!({
                "type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code,
                "text": if kind == "keyUp" { "" } else { text },
            });
            self.call("Input.dispatchKeyEvent", event).await;
        }
    }

    /// Closes the page as its user would.
    pub(crate) async fn close(self) {
        self.call("Page.close", json!({})).await;
    }
}

/// The connection to a browser.
struct DevTools {
    socket: WebSocketStream<TcpStream>,
    calls: u64,
    troubles: Vec<String>,
}

impl DevTools {
    async fn connect(url: &str) -> Self {
        let addr = url.trim_start_matches("ws://").split('/').next().unwrap_or_default();
        let addr: SocketAddr = addr.parse().expect("DevTools listen on an address");
        let stream = TcpStream::connect(addr).await.expect("DevTools listen");
        let upgraded = tokio_tungstenite::client_async(url, stream).await;
        let (socket, _) = upgraded.expect("DevTools speak WebSocket");
        Self { socket, calls: 0, troubles: Vec::new() }
    }

    /// Calls and waits for the answer, noting what is reported meanwhile.
    async fn call(&mut self, session: Option<&str>, method: &str, params: Value) -> Value {
        self.calls += 1;
        let mut call = json!({ "id": self.calls, "method": method, "params": params });
        if let Some(session) = session {
            call["sessionId"] = session.into();
        }
        self.socket.send(Message::text(call.to_string())).await.expect("the browser listens");
        loop {
            let message = self.socket.next().await.expect("the browser lives");
            let Message::Text(text) = message.expect("the browser speaks WebSocket") else {
                continue;
            };
            let answer: Value = serde_json::from_str(&text).expect("DevTools speak JSON");
            if answer["id"] == self.calls {
                assert!(answer["error"].is_null(), "{method}: {}", answer["error"]);
                return answer["result"].clone();
            }
            self.note(&answer);
        }
    }

    fn note(&mut self, event: &Value) {
        let params = &event["params"];
        let trouble = match event["method"].as_str().unwrap_or_default() {
            "Runtime.exceptionThrown" => true,
            "Runtime.consoleAPICalled" => {
                ["error", "warning", "assert"].iter().any(|kind| params["type"] == *kind)
            }
            "Log.entryAdded" => {
                ["error", "warning"].iter().any(|level| params["entry"]["level"] == *level)
            }
            _ => false,
        };
        if trouble {
            self.troubles.push(params.to_string());
        }
    }
}

/// A browser's processes.
struct Process(Child);

impl Process {
    /// Starts a browser; also says where its DevTools are.
    fn start(program: &Path, home: &Path) -> (Self, String) {
        let mut child = Command::new(program)
            .args([
                "--headless",
                // It only sees our own page, and what sandboxes need is not everywhere.
                "--no-sandbox",
                "--disable-background-networking",
                "--disable-breakpad",
                "--disable-dev-shm-usage",
                "--disable-gpu",
                "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
                "--no-first-run",
                "--no-proxy-server",
                "--remote-debugging-port=0",
            ])
            .arg(format!("--user-data-dir={}", home.join("data").display()))
            .envs(["HOME", "TMPDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"].map(|key| (key, home)))
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {}: {error}", program.display()));
        let stderr = child.stderr.take().expect("it was asked for");
        let process = Self(child);
        (process, devtools_url(stderr))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Until it is waited for, nobody else can have its number.
        let _ = kill_process_group(Pid::from_child(&self.0), Signal::KILL);
        let _ = self.0.wait();
    }
}

/// Reads on behind the line that was looked for, or a full pipe would stop the browser.
fn devtools_url(stderr: ChildStderr) -> String {
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            let _ = tell.send(line);
        }
    });
    let mut seen = Vec::new();
    while let Ok(line) = told.recv_timeout(START) {
        if let Some(url) = line.strip_prefix("DevTools listening on ") {
            return url.to_owned();
        }
        seen.push(line);
    }
    panic!("the browser does not say where its DevTools are: {seen:#?}");
}

/// Where a browser keeps all its files.
struct Home(PathBuf);

impl Home {
    fn new() -> Self {
        let number = BROWSERS.fetch_add(1, Ordering::Relaxed);
        let path = env::temp_dir().join(format!("weir-page-{}-{number}", id()));
        fs::create_dir(&path).expect("a directory of its own");
        Self(path)
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        for _ in 0..REMOVALS_MAX {
            match fs::remove_dir_all(&self.0) {
                Ok(()) => return,
                Err(_) => thread::sleep(Duration::from_millis(10)),
            }
        }
        eprintln!("{} cannot be removed", self.0.display());
    }
}

/// The Chromium that `WEIR_CHROMIUM` names, else one on the path, else one that Playwright keeps.
fn find() -> Option<PathBuf> {
    if let Some(named) = env::var_os("WEIR_CHROMIUM") {
        return Some(named.into());
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let on_path = env::split_paths(&path)
        .flat_map(|folder| NAMES.map(|name| folder.join(name)))
        .find(|file| file.is_file());
    on_path.or_else(downloaded)
}

fn downloaded() -> Option<PathBuf> {
    let folder = PathBuf::from(env::var_os("HOME")?).join(".cache/ms-playwright");
    let mut folders: Vec<_> =
        fs::read_dir(folder).ok()?.filter_map(|entry| Some(entry.ok()?.path())).collect();
    // The newest last.
    folders.sort();
    let files = folders.iter().rev().flat_map(|folder| {
        ["chrome-linux/chrome", "chrome-linux64/chrome", "chrome-linux/headless_shell"]
            .map(|file| folder.join(file))
    });
    files.into_iter().find(|file| file.is_file())
}
