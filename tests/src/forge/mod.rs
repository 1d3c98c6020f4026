//! A forge for tests: an HTTP server that speaks the real routes of GitHub (or of Gitea and
//! Forgejo) over a real bare git repository, so that what is merged here is what agents pull.
//!
//! Every request is recorded, and any answer can be scripted to go wrong.

pub mod faults;
pub mod git;
mod gitea;
mod github;
pub mod http;
mod merge;
pub mod pulls;
mod routes;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;

pub use faults::{Cut, Fault};
pub use git::Bare;
pub use http::{Answer, Request};
pub use pulls::{FakeCheck, FakePull};
pub use routes::Route;

/// Whose API is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaks {
    /// GitHub's.
    GitHub,
    /// The one of Gitea and Forgejo.
    Gitea,
}

/// A request that came in.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// When.
    pub at: Instant,
    /// The route, if there is one.
    pub route: Option<Route>,
    /// The request.
    pub request: Request,
    /// The status of the answer, before any fault.
    pub status: u16,
}

/// The quota of the forge.
#[derive(Clone, Copy, Debug)]
pub struct Quota {
    /// Requests per window.
    pub limit: u64,
    /// How many are left.
    pub remaining: u64,
    /// When the window ends, in seconds since 1970.
    pub reset: i64,
}

/// Everything the forge knows.
#[derive(Debug)]
pub struct State {
    /// Whose API is spoken.
    pub speaks: Speaks,
    /// `owner/name`.
    pub repo: String,
    /// The branch that pull requests go to.
    pub branch: String,
    /// The repository.
    pub git: Bare,
    /// Pull requests.
    pub pulls: BTreeMap<u64, FakePull>,
    /// Check runs and statuses by commit.
    pub checks: BTreeMap<String, Vec<FakeCheck>>,
    /// Accepted tokens; none at all accepts everybody.
    pub tokens: Vec<String>,
    /// When tokens end, as GitHub says it: `2026-12-31 00:00:00 UTC`.
    pub token_ends: BTreeMap<String, String>,
    /// The quota, if there is one.
    pub quota: Option<Quota>,
    /// Entries per page, at most.
    pub page: usize,
    /// The branch as a replica that lags behind shows it, for so many reads.
    pub stale_branch: Option<(String, u32)>,
    /// Branches that nobody may push to.
    pub protected: bool,
    faults: BTreeMap<Route, VecDeque<Fault>>,
    log: Vec<Recorded>,
}

/// A running forge; it ends when this is dropped.
#[derive(Debug)]
pub struct FakeForge {
    state: Arc<Mutex<State>>,
    address: SocketAddr,
    release: CancellationToken,
    task: AbortHandle,
}

impl Drop for FakeForge {
    fn drop(&mut self) {
        self.release.cancel();
        self.task.abort();
    }
}

impl FakeForge {
    /// Starts a forge for the bare repository in `bare`, whose branch is `main`.
    ///
    /// # Panics
    /// If no port is free.
    pub async fn start(speaks: Speaks, repo: &str, bare: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = State {
            speaks,
            repo: repo.to_owned(),
            branch: "main".to_owned(),
            git: Bare::new(bare),
            pulls: BTreeMap::new(),
            checks: BTreeMap::new(),
            tokens: Vec::new(),
            token_ends: BTreeMap::new(),
            quota: None,
            page: 100,
            stale_branch: None,
            protected: false,
            faults: BTreeMap::new(),
            log: Vec::new(),
        };
        let state = Arc::new(Mutex::new(state));
        let release = CancellationToken::new();
        let (shared, letting_go) = (Arc::clone(&state), release.clone());
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&shared), letting_go.clone()));
            }
        });
        Self {
            state,
            address,
            release,
            task: task.abort_handle(),
        }
    }

    /// The address of its API, for `NIXFLEET_GITHUB_API_URL`.
    #[must_use]
    pub fn api_url(&self) -> String {
        match self.state().speaks {
            Speaks::GitHub => format!("http://{}", self.address),
            Speaks::Gitea => format!("http://{}/api/v1", self.address),
        }
    }

    /// What it knows, to look at and to change.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next answer of a route goes wrong like this. Several come one after the other.
    pub fn fail(&self, route: Route, fault: Fault) {
        self.state()
            .faults
            .entry(route)
            .or_default()
            .push_back(fault);
    }

    /// All answers of a route go wrong like this until [`FakeForge::heal`]: at least a thousand.
    pub fn fail_always(&self, route: Route, fault: &Fault) {
        let many = std::iter::repeat_n(fault.clone(), 1000);
        self.state().faults.entry(route).or_default().extend(many);
    }

    /// Nothing goes wrong any more.
    pub fn heal(&self) {
        self.state().faults.clear();
    }

    /// Lets go of answers that are held back, now and from now on.
    pub fn release(&self) {
        self.release.cancel();
    }

    /// The requests so far.
    #[must_use]
    pub fn requests(&self) -> Vec<Recorded> {
        self.state().log.clone()
    }

    /// The requests of a route so far.
    #[must_use]
    pub fn requests_to(&self, route: Route) -> Vec<Recorded> {
        let mut requests = self.requests();
        requests.retain(|recorded| recorded.route == Some(route));
        requests
    }

    /// Opens an update: a pull request of the update robot that changes the locked revision of one
    /// input, with a successful check `build`.
    ///
    /// # Panics
    /// If the repository has no `flake.lock` with that input.
    pub fn open_update_pr(&self, number: u64, input: &str) -> String {
        self.state().open_update_pr(number, input)
    }
}

async fn serve(mut stream: TcpStream, state: Arc<Mutex<State>>, release: CancellationToken) {
    let Some(request) = http::read(&mut stream).await else {
        return;
    };
    let work = move || answer(&state, &request);
    let Ok((answer, fault)) = tokio::task::spawn_blocking(work).await else {
        return;
    };
    http::write(&mut stream, &answer, fault.as_ref(), release.cancelled()).await;
}

/// The answer, and how it goes wrong.
fn answer(state: &Mutex<State>, request: &Request) -> (Answer, Option<Fault>) {
    let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
    let at = Instant::now();
    let route = Route::of(&state, request);
    let queue = route.and_then(|route| state.faults.get_mut(&route));
    let fault = queue.and_then(VecDeque::pop_front);
    let instead = fault.as_ref().and_then(|fault| fault.instead.clone());
    let answer = match (instead, &fault) {
        (Some(instead), Some(fault)) => {
            if fault.performed {
                state.perform(route, request);
            }
            instead
        }
        (_, fault) => {
            let mut answer = state.perform(route, request);
            let headers = fault.iter().flat_map(|fault| fault.headers.clone());
            answer.headers.extend(headers);
            answer
        }
    };
    state.log.push(Recorded {
        at,
        route,
        request: request.clone(),
        status: answer.status,
    });
    (answer, fault)
}

impl State {
    /// What the forge answers when nothing goes wrong: identity, quota, content, tag.
    fn perform(&mut self, route: Option<Route>, request: &Request) -> Answer {
        let token = request.header("authorization").and_then(|text| {
            let (_, token) = text.split_once(' ')?;
            Some(token.to_owned())
        });
        let known = token
            .as_ref()
            .is_some_and(|token| self.tokens.contains(token));
        if !self.tokens.is_empty() && !known {
            return routes::message(401, "Bad credentials");
        }
        if let Some(quota) = &mut self.quota {
            if quota.reset <= unix_seconds() {
                quota.remaining = quota.limit;
                quota.reset = unix_seconds() + 3600;
            }
            if quota.remaining == 0 {
                let answer = routes::message(403, "API rate limit exceeded");
                return self.with_quota(answer);
            }
        }
        let answer = routes::answer(self, route, request);
        let mut answer = tagged(answer, request, token.as_deref());
        if let Some(ends) = token.and_then(|token| self.token_ends.get(&token)) {
            answer = answer.with("github-authentication-token-expiration", ends.clone());
        }
        if let Some(quota) = &mut self.quota
            && answer.status != 304
        {
            quota.remaining -= 1;
        }
        self.with_quota(answer)
    }

    fn with_quota(&self, answer: Answer) -> Answer {
        let answer = answer.with("date", http_date());
        match self.quota {
            None => answer,
            Some(quota) => answer
                .with("x-ratelimit-limit", quota.limit.to_string())
                .with("x-ratelimit-remaining", quota.remaining.to_string())
                .with("x-ratelimit-reset", quota.reset.to_string()),
        }
    }
}

/// Tags what was read, and answers 304 to who has it. The tag changes with the token.
fn tagged(answer: Answer, request: &Request, token: Option<&str>) -> Answer {
    if request.method != "GET" || answer.status != 200 {
        return answer;
    }
    let mut all = answer.body.clone();
    all.extend_from_slice(token.unwrap_or_default().as_bytes());
    let tag = format!("\"{}\"", nixfleet_core::lock_hash(&all).short());
    if request.header("if-none-match") == Some(tag.as_str()) {
        return Answer {
            status: 304,
            headers: vec![("etag".to_owned(), tag)],
            body: Vec::new(),
        };
    }
    answer.with("etag", tag)
}

/// Seconds since 1970.
#[must_use]
pub fn unix_seconds() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or(Duration::ZERO);
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

fn http_date() -> String {
    httpdate::fmt_http_date(SystemTime::now())
}
