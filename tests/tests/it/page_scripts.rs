//! The scripts of the page in a real browser, without a server behind them.

use std::path::{Path, PathBuf};

use nixfleet_core::rollout::{HostStage, STATES, VERBS, WAITS};
use nixfleet_core::sync::KEPT_ROLLOUTS;
use nixfleet_tests::browser::Browser;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
     connect-src 'self'; require-trusted-types-for 'script'";

#[tokio::test(flavor = "multi_thread")]
async fn what_breaks_the_policy_or_throws_is_noticed() {
    let Some(mut browser) = Browser::launch("browser complaints").await.unwrap() else {
        return;
    };
    let page = "<p>quiet</p>";
    browser.open(&serve(page).await).await.unwrap();
    assert_eq!(browser.take_troubles().await.unwrap(), Vec::<String>::new());

    let page = "<p onclick='x()'>loud</p><script>document.title = 'ran'</script>";
    browser.open(&serve(page).await).await.unwrap();
    let script = "setTimeout(() => { throw new Error('on purpose') }, 0); \
                  console.error('said so'); document.body.innerHTML = '<b>x</b>'";
    let refused = browser.evaluate(script).await.unwrap_err().to_string();
    assert!(refused.contains("TrustedHTML"), "{refused}");
    let troubles = browser.take_troubles().await.unwrap().join("\n");
    for expected in ["policy:", "script-src", "on purpose", "said so"] {
        assert!(troubles.contains(expected), "{expected} in {troubles}");
    }
    assert_ne!(browser.evaluate("document.title").await.unwrap(), "ran");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_replica_of_the_page_follows_the_recorded_traces() {
    let Some(mut browser) = Browser::launch("sync traces in the page").await.unwrap() else {
        return;
    };
    browser.open(&serve("<p>traces</p>").await).await.unwrap();
    let results = browser.evaluate(FOLLOW_TRACES).await.unwrap();
    let recorded: Value = serde_json::from_str(TRACES).unwrap();
    assert_eq!(results["final_phases"], sorted(&recorded["final_phases"]));
    let traces = recorded["traces"].as_array().unwrap();
    assert!(!traces.is_empty());
    for (index, trace) in traces.iter().enumerate() {
        let steps = trace["steps"].as_array().unwrap();
        let expected: Vec<Value> = steps
            .iter()
            .map(|step| json!({"step": step["step"], "version": step["version"]}))
            .collect();
        let followed = &results["traces"][index];
        assert_eq!(followed["steps"], Value::from(expected), "trace {index}");
        assert_eq!(followed["state"], trace["state"], "trace {index}");
    }
    assert_eq!(browser.take_troubles().await.unwrap(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_has_words_for_everything_that_a_rollout_can_say() {
    let Some(mut browser) = Browser::launch("words for rollouts").await.unwrap() else {
        return;
    };
    browser.open(&serve("<p>words</p>").await).await.unwrap();
    let known = browser.evaluate(ROLLOUT_WORDS).await.unwrap();
    let final_states = STATES.iter().map(|row| row.state);
    let ended: Vec<_> = final_states.filter(|state| state.is_terminal()).collect();
    assert_eq!(known["ended"], sorted(&json!(ended)));
    assert_eq!(known["kept"], json!(KEPT_ROLLOUTS));
    assert_eq!(known["verbs"], sorted(&codes(VERBS, |row| row.verb)));
    assert_eq!(known["waits"], sorted(&codes(WAITS, |row| row.code)));
    assert_eq!(known["states"], sorted(&codes(STATES, |row| row.state)));
    let of_hosts = [
        HostStage::Waiting,
        HostStage::Running,
        HostStage::Done,
        HostStage::Failed,
        HostStage::Skipped,
        HostStage::Cancelled,
    ];
    assert_eq!(known["of_hosts"], sorted(&json!(of_hosts)));
}

fn codes<Row, Code: Serialize>(rows: &[Row], code: impl Fn(&Row) -> Code) -> Value {
    json!(rows.iter().map(code).collect::<Vec<_>>())
}

const ROLLOUT_WORDS: &str = "(async () => {
    const { ENDED_ROLLOUTS, KEPT_ROLLOUTS } = await import('/assets/state.js');
    const words = await import('/assets/rollouts/words.js');
    return {
        ended: [...ENDED_ROLLOUTS].sort(),
        kept: KEPT_ROLLOUTS,
        verbs: Object.keys(words.VERBS).sort(),
        waits: Object.keys(words.WAITS).sort(),
        states: Object.keys(words.STATES).sort(),
        of_hosts: Object.keys(words.HOST_STATES).sort(),
    };
})()";

/// Every file in a folder and below.
fn files_in(folder: &Path) -> Vec<PathBuf> {
    let paths = std::fs::read_dir(folder).unwrap();
    let paths = paths.map(|entry| entry.unwrap().path());
    paths
        .flat_map(|path| {
            if path.is_dir() {
                files_in(&path)
            } else {
                vec![path]
            }
        })
        .collect()
}

#[test]
fn no_script_or_page_makes_markup_from_text() {
    let web = Path::new(env!("CARGO_MANIFEST_DIR")).join("../nixfleet-server/web");
    let mut seen = 0;
    for path in files_in(&web) {
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(forbidden_in(&text), None, "{}", path.display());
        assert!(text.lines().count() < 500, "{} is long", path.display());
        seen += 1;
    }
    assert!(seen > 40, "{seen}");
    assert_eq!(forbidden_in("a.innerHTML = b"), Some("innerHTML"));
    assert_eq!(forbidden_in("<p onclick='x()'>"), Some(" onclick="));
}

/// What turns text into markup or code, or breaks the policy.
fn forbidden_in(text: &str) -> Option<&'static str> {
    const FORBIDDEN: [&str; 14] = [
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "createContextualFragment",
        "parseFromString",
        "setHTMLUnsafe",
        "srcdoc",
        "eval(",
        "new Function",
        "javascript:",
        " style=",
        " onclick=",
        " onload=",
    ];
    FORBIDDEN.into_iter().find(|word| text.contains(word))
}

const TRACES: &str = include_str!("../../golden/sync_traces.json");
const TABLES: &str = include_str!("../../golden/tables/tables.json");

const FOLLOW_TRACES: &str = "(async () => {
    const { Replica } = await import('/assets/sync.js');
    const { FINAL_PHASES } = await import('/assets/state.js');
    const recorded = await (await fetch('/traces.json')).json();
    const { compact } = await (await fetch('/tables.json')).json();
    const traces = recorded.traces.map((trace) => {
        const replica = new Replica();
        replica.useLetters(compact);
        const steps = trace.steps.map(({ message }) => {
            const step = replica.apply(message);
            return { step, version: replica.version };
        });
        return { steps, state: replica.state.toJSON() };
    });
    return { final_phases: [...FINAL_PHASES].sort(), traces };
})()";

fn sorted(phases: &Value) -> Value {
    let mut phases: Vec<String> = serde_json::from_value(phases.clone()).unwrap();
    phases.sort();
    phases.into()
}

/// Serves one page under the policy of the server, with the real scripts beside it.
async fn serve(page: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let page = page.to_owned();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream, page.clone()));
        }
    });
    format!("http://{address}/")
}

async fn answer(mut stream: TcpStream, page: String) -> std::io::Result<()> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        if stream.read_buf(&mut request).await? == 0 {
            return Ok(());
        }
    }
    let request = String::from_utf8_lossy(&request);
    let path = request.split(' ').nth(1).unwrap_or("/");
    let (status, media, body) = if let Some(name) = path.strip_prefix("/assets/") {
        let web = Path::new(env!("CARGO_MANIFEST_DIR")).join("../nixfleet-server/web");
        let text = std::fs::read_to_string(web.join(name))?;
        ("200 OK", "text/javascript", text)
    } else if path == "/traces.json" {
        ("200 OK", "application/json", TRACES.to_owned())
    } else if path == "/tables.json" {
        ("200 OK", "application/json", TABLES.to_owned())
    } else if path == "/" {
        ("200 OK", "text/html", page)
    } else {
        ("204 No Content", "text/plain", String::new())
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {media}; charset=utf-8\r\nContent-Length: {}\r\n\
         Content-Security-Policy: {POLICY}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await
}
