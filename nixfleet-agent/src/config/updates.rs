//! How this host updates the inputs of the configuration, and its part in rollouts.

use std::fmt;
use std::str::FromStr;

use nixfleet_core::wire::agent::FlakeUpdates;

use super::args::Settings;
use super::problems::Problems;
use super::values::ValueError;

/// The settings for updates of inputs and for rollouts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Updates {
    /// The author of the commits; `None`: NixFleet on this host.
    pub author: Option<CommitAuthor>,
    /// Where the commits go.
    pub push: PushTo,
    /// Whether automation may update this host.
    pub auto_update: Option<bool>,
    /// Lower goes first.
    pub priority: Option<i64>,
    /// Whether this host goes before the others.
    pub canary: Option<bool>,
}

impl Updates {
    pub(super) fn new(settings: &Settings, p: &mut Problems) -> Self {
        let switch = |p: &mut Problems, variable, value| {
            p.parsed::<YesNo>(variable, value).map(|YesNo(yes)| yes)
        };
        Self {
            author: p.parsed("NIXFLEET_COMMIT_AUTHOR", &settings.commit_author),
            push: p
                .parsed("NIXFLEET_UPDATE_PUSH", &settings.update_push)
                .unwrap_or_default(),
            auto_update: switch(p, "NIXFLEET_AUTO_UPDATE", &settings.auto_update),
            priority: p
                .parsed::<Number>("NIXFLEET_PRIORITY", &settings.priority)
                .map(|Number(number)| number),
            canary: switch(p, "NIXFLEET_CANARY", &settings.canary),
        }
    }

    /// What the registration says; `None` if nothing is set.
    #[must_use]
    pub fn told(&self) -> Option<FlakeUpdates> {
        let told = FlakeUpdates {
            auto_update: self.auto_update,
            priority: self.priority,
            canary: self.canary,
        };
        (told != FlakeUpdates::default()).then_some(told)
    }
}

/// Where updated inputs are pushed to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PushTo {
    /// The branch that is deployed: a rollout can follow at once.
    #[default]
    Tracked,
    /// A new branch each time, for a pull request.
    Branch,
}

impl PushTo {
    /// The configured spelling.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            PushTo::Tracked => "main",
            PushTo::Branch => "branch",
        }
    }
}

impl FromStr for PushTo {
    type Err = ValueError;
    fn from_str(text: &str) -> Result<Self, ValueError> {
        [PushTo::Tracked, PushTo::Branch]
            .into_iter()
            .find(|push| push.as_str() == text)
            .ok_or_else(|| {
                ValueError(format!(
                    "{text:?} is neither main (the deployed branch, whatever its name) nor branch"
                ))
            })
    }
}

/// Who a commit says it is from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitAuthor {
    /// The name.
    pub name: String,
    /// The e-mail address.
    pub email: String,
}

impl CommitAuthor {
    /// The author where none is configured.
    #[must_use]
    pub fn of_host(host: &str) -> Self {
        Self {
            name: "NixFleet".to_owned(),
            email: format!("nixfleet@{host}"),
        }
    }
}

impl fmt::Display for CommitAuthor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} <{}>", self.name, self.email)
    }
}

impl FromStr for CommitAuthor {
    type Err = ValueError;
    fn from_str(text: &str) -> Result<Self, ValueError> {
        let parts = text
            .strip_suffix('>')
            .and_then(|text| text.split_once('<'))
            .map(|(name, email)| (name.trim(), email.trim()));
        let plain = |part: &str| {
            part.len() <= 200
                && part.chars().any(char::is_alphanumeric)
                && !part.contains(|c: char| c.is_control() || matches!(c, '<' | '>'))
        };
        match parts {
            Some((name, email)) if plain(name) && plain(email) => Ok(Self {
                name: name.to_owned(),
                email: email.to_owned(),
            }),
            Some(_) | None => Err(ValueError(format!(
                "{text:?} is not an author; write it like 'Fleet <fleet@example.org>'"
            ))),
        }
    }
}

/// The name of an input of the configuration: nothing that a program could take for an option, a
/// path or an expression. The server lets no other pass (law C6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputName(String);

impl InputName {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for InputName {
    type Err = ValueError;
    fn from_str(text: &str) -> Result<Self, ValueError> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        let starts_well = text.starts_with(|c: char| c.is_ascii_alphanumeric());
        if starts_well && text.len() <= 128 && text.chars().all(plain) {
            return Ok(Self(text.to_owned()));
        }
        Err(ValueError(format!(
            "{text:?} is not the name of an input: letters, digits, '.', '_' or '-', starting with a letter or digit"
        )))
    }
}

struct YesNo(bool);

impl FromStr for YesNo {
    type Err = ValueError;
    fn from_str(text: &str) -> Result<Self, ValueError> {
        match text {
            "true" | "yes" | "1" => Ok(Self(true)),
            "false" | "no" | "0" => Ok(Self(false)),
            other => Err(ValueError(format!("{other:?} is neither true nor false"))),
        }
    }
}

struct Number(i64);

impl FromStr for Number {
    type Err = ValueError;
    fn from_str(text: &str) -> Result<Self, ValueError> {
        let refused = |_| ValueError(format!("{text:?} is not a whole number"));
        text.parse().map(Self).map_err(refused)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c06_only_plain_names_are_inputs() {
        for good in ["nixpkgs", "home-manager", "nixpkgs-25.11", "a_b", "0x"] {
            assert!(good.parse::<InputName>().is_ok(), "{good}");
        }
        for bad in [
            "", "-x", "--impure", ".", "a b", "a/b", "a;b", "$(id)", "a\n", "\u{fc}",
        ] {
            assert!(bad.parse::<InputName>().is_err(), "{bad:?}");
        }
        assert!("a".repeat(129).parse::<InputName>().is_err());
    }

    #[test]
    fn an_author_is_a_name_and_an_address() {
        let author: CommitAuthor = "Fleet of us <fleet@example.org>".parse().unwrap();
        assert_eq!(
            (author.name.as_str(), author.email.as_str()),
            ("Fleet of us", "fleet@example.org")
        );
        assert_eq!(author.to_string().parse(), Ok(author));
        for bad in ["", "Fleet", "<a@b>", "Fleet <>", "A <b> <c>", "A\nB <c@d>"] {
            assert!(bad.parse::<CommitAuthor>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn policy_is_told_only_where_something_is_set() {
        let text = |value: &str| Some(value.to_owned());
        let read = |settings: &Settings| {
            let mut problems = Problems::default();
            let updates = Updates::new(settings, &mut problems);
            (updates, problems.0.len())
        };
        let (updates, problems) = read(&Settings::default());
        assert_eq!((updates.told(), problems), (None, 0));
        assert_eq!(updates.push, PushTo::Tracked);

        let (updates, problems) = read(&Settings {
            auto_update: text("no"),
            priority: text("-5"),
            canary: text("1"),
            update_push: text("branch"),
            ..Settings::default()
        });
        let told = FlakeUpdates {
            auto_update: Some(false),
            priority: Some(-5),
            canary: Some(true),
        };
        assert_eq!((updates.told(), problems), (Some(told), 0));
        assert_eq!(updates.push, PushTo::Branch);

        let (_, problems) = read(&Settings {
            auto_update: text("perhaps"),
            priority: text("first"),
            canary: text("2"),
            update_push: text("master"),
            commit_author: text("me"),
            ..Settings::default()
        });
        assert_eq!(problems, 5);
    }
}
