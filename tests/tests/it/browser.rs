//! The page in a real browser, with the real server, real agents and a real git remote behind it.

use nixfleet_tests::browser::Browser;
use nixfleet_tests::fleet::{Fleet, good};
use nixfleet_tests::host::{Habit, HostCommand};
use nixfleet_tests::rows::Situation;

use crate::fleet::paths;

const HOST: &str = "web-1";
const GREEN: &str = "ok ok ok ok ok";

/// A person at the page.
pub(crate) struct Person {
    pub(crate) browser: Browser,
}

impl Person {
    pub(crate) async fn at(test: &str) -> Option<Self> {
        let browser = Browser::launch(test).await.unwrap()?;
        Some(Self { browser })
    }

    pub(crate) async fn logs_in(&mut self, fleet: &Fleet) {
        let origin = good(fleet.api()).origin().to_owned();
        self.browser.open(&origin).await.unwrap();
        self.waits_for("location.pathname === '/login'").await;
        self.browser.click("#password").await.unwrap();
        self.browser.type_text(fleet.password()).await.unwrap();
        self.browser.press("Enter").await.unwrap();
        self.waits_for("document.querySelector('#connection')?.textContent === 'Live'")
            .await;
    }

    pub(crate) async fn sees_row(&mut self, host: &str, row: &str) {
        let shown = format!(
            "[...document.querySelectorAll('[data-host=\"{host}\"] .dot')]\
             .map((dot) => dot.dataset.status).join(' ')"
        );
        let what = format!("{host} to be {row}");
        let condition = format!("{shown} === '{row}'");
        if let Err(error) = self.browser.wait_for(&condition, &what).await {
            let shown = self.browser.evaluate(&shown).await;
            panic!("{error}\nrow: {shown:?}");
        }
    }

    pub(crate) async fn clicks(&mut self, host: &str, op: &str) {
        let button = format!("[data-host=\"{host}\"] [data-op={op}]");
        let ready =
            format!("document.querySelector('{button}').getAttribute('aria-disabled') === 'false'");
        self.waits_for(&ready).await;
        self.browser.click(&button).await.unwrap();
    }

    /// Clicks on an element as soon as it can be seen.
    pub(crate) async fn presses(&mut self, selector: &str) {
        let quoted = serde_json::to_string(selector).unwrap();
        self.waits_for(&format!(
            "document.querySelector({quoted})?.checkVisibility()"
        ))
        .await;
        self.browser.click(selector).await.unwrap();
    }

    pub(crate) async fn opens(&mut self, host: &str, compartment: &str) {
        let dot = format!("[data-host=\"{host}\"] [data-compartment={compartment}]");
        self.browser.click(&dot).await.unwrap();
        self.waits_for("document.querySelector('#details').open")
            .await;
    }

    pub(crate) async fn waits_for(&mut self, condition: &str) {
        let waited = self.browser.wait_for(condition, condition).await;
        waited.unwrap_or_else(|error| panic!("{error}"));
    }

    /// Waits until an element says something that contains `text`.
    pub(crate) async fn reads(&mut self, selector: &str, text: &str) {
        let text = serde_json::to_string(text).unwrap();
        self.waits_for(&format!(
            "document.querySelector('{selector}')?.textContent.includes({text})"
        ))
        .await;
    }

    pub(crate) async fn had_no_trouble(&mut self) {
        assert_eq!(self.browser.take_troubles().await.unwrap(), [""; 0]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_turns_yellow_when_the_remote_moves_and_green_after_pull_switch_and_test() {
    let Some(mut person) = Person::at("the main job on the page").await else {
        return;
    };
    let mut fleet = Fleet::current(&paths(), &[HOST]).await;
    person.logs_in(&fleet).await;

    person.sees_row(HOST, GREEN).await;
    person.reads("#total-green", "1").await;

    good(fleet.upstream.update(&["nixpkgs"]));
    person
        .sees_row(HOST, "ok outdated outdated outdated outdated")
        .await;
    person.reads("#total-green", "0").await;
    let git = format!("[data-host={HOST}] [data-compartment=git]");
    person.browser.hover(&git).await.unwrap();
    person.reads("#tooltip", "1 commit behind").await;

    person.clicks(HOST, "switch").await;
    person.reads("#notice-text", "What would help").await;

    person.clicks(HOST, "pull").await;
    person.sees_row(HOST, "ok ok ok outdated outdated").await;
    person.clicks(HOST, "switch").await;
    person.sees_row(HOST, "ok ok ok ok outdated").await;
    person.clicks(HOST, "test").await;
    person.sees_row(HOST, GREEN).await;
    person.had_no_trouble().await;

    let loads = "performance.getEntriesByType('navigation').length === 1 \
                 && performance.getEntriesByType('navigation')[0].type === 'navigate'";
    person.waits_for(loads).await;
    fleet.settled(Situation::Current, &[HOST]).await;
    fleet.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_are_red_and_say_why_and_the_page_survives_a_restart_of_the_server() {
    let Some(mut person) = Person::at("failures on the page").await else {
        return;
    };
    let mut fleet = Fleet::current(&paths(), &[HOST]).await;
    person.logs_in(&fleet).await;
    person.sees_row(HOST, GREEN).await;

    fleet.tell(HOST, HostCommand::Switch, Habit::Fails);
    person.clicks(HOST, "switch").await;
    person.sees_row(HOST, "ok ok ok error outdated").await;
    person.reads(".command-text", "exit code").await;
    person.opens(HOST, "system").await;
    person
        .reads("#details-status", "the last deploy failed")
        .await;
    person
        .waits_for("document.querySelectorAll('#details-actions [data-op]').length === 0")
        .await;
    person.browser.press("Escape").await.unwrap();

    fleet.tell(HOST, HostCommand::Switch, Habit::Waits);
    person.clicks(HOST, "switch").await;
    person.sees_row(HOST, "ok ok ok working outdated").await;
    person.opens(HOST, "system").await;
    person
        .waits_for("document.querySelector('#details-actions .stop')")
        .await;
    person
        .browser
        .click("#details-actions .stop")
        .await
        .unwrap();
    person.sees_row(HOST, "ok ok ok error outdated").await;
    person.browser.press("Escape").await.unwrap();
    fleet.tell(HOST, HostCommand::Switch, Habit::Works);

    good(fleet.upstream.remote().cut());
    person
        .sees_row(HOST, "ok error error outdated outdated")
        .await;
    person
        .waits_for("document.querySelector('#desired').dataset.remote === 'failed'")
        .await;
    person.reads("#desired-remote", "To do:").await;
    good(fleet.upstream.remote().restore());
    person.sees_row(HOST, "ok ok ok error outdated").await;
    person.had_no_trouble().await;

    fleet.kill_server();
    person.reads("#connection", "Reconnecting").await;
    good(fleet.start_server().await);
    person
        .waits_for("document.querySelector('#connection').textContent === 'Live'")
        .await;
    person.sees_row(HOST, "ok ok ok error outdated").await;
    let online = format!("document.querySelector('[data-host={HOST}]').dataset.online === 'yes'");
    person.waits_for(&online).await;
    person.clicks(HOST, "switch").await;
    // The same inputs give the same system, and its tests passed.
    person.sees_row(HOST, GREEN).await;
    // A connection that is refused is written to the console by the browser itself.
    let troubles = person.browser.take_troubles().await.unwrap();
    let own = troubles
        .iter()
        .filter(|one| one.starts_with("policy:") || one.starts_with("uncaught:"));
    assert_eq!(own.count(), 0, "{troubles:#?}");
    fleet.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_works_with_the_keyboard_and_shows_hostile_text_as_text() {
    let Some(mut person) = Person::at("keyboard and hostile text").await else {
        return;
    };
    let mut fleet = Fleet::current(&paths(), &[HOST]).await;
    let hostile = "<img src=x onerror=\"document.title='ran'\"> {commits} \u{202e}";
    good(fleet.upstream.write("hostile", "text"));
    good(fleet.upstream.commit(hostile));
    person.logs_in(&fleet).await;
    person.reads("#desired-commit", "<img src=x").await;

    let focused = "document.activeElement.dataset.compartment === 'git'";
    for _ in 0..12 {
        person.browser.press("Tab").await.unwrap();
        if person.browser.evaluate(focused).await.unwrap() == true {
            break;
        }
    }
    person.waits_for(focused).await;
    person
        .waits_for("document.querySelector('#tooltip').matches(':popover-open')")
        .await;
    person.browser.press("Escape").await.unwrap();
    person
        .waits_for("!document.querySelector('#tooltip').matches(':popover-open')")
        .await;
    person.browser.press("Enter").await.unwrap();
    person.reads("#details-title", HOST).await;
    person.browser.press("Escape").await.unwrap();
    person
        .waits_for("!document.querySelector('#details').open")
        .await;
    person.waits_for(focused).await;

    person
        .waits_for("document.title === 'NixFleet' && document.images.length === 0")
        .await;
    person.had_no_trouble().await;
    person
        .browser
        .click("form[action='/logout'] button")
        .await
        .unwrap();
    person.waits_for("location.pathname === '/login'").await;
    fleet.end().await;
}
