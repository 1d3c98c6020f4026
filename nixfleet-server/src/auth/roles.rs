//! Who may do what: one table, everything absent from it is denied.

use std::fmt;
use std::str::FromStr;

use super::Principal;

/// What a session or an API token may do; each role includes the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Looks, changes nothing.
    Viewer,
    /// Runs operations on hosts.
    Operator,
    /// Also removes hosts and handles credentials and settings.
    Admin,
}

/// One thing that needs permission.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Permission {
    /// See hosts, commands, output, locks, events.
    Read,
    /// Start and stop operations on hosts, hold hosts, name and colour them.
    Operate,
    /// Merge an update and start or steer a rollout.
    Deploy,
    /// Remove hosts, approve them, handle tokens and settings.
    Administer,
    /// Follow the live feed, and fetch the ticket for it.
    Live,
    /// Speak as an agent.
    AgentChannel,
}

/// One row of [`GRANTS`].
#[derive(Clone, Copy, Debug)]
pub struct Grant {
    /// What is granted.
    pub permission: Permission,
    /// The roles whose browser sessions have it.
    pub session: &'static [Role],
    /// The roles whose API tokens have it.
    pub api_token: &'static [Role],
    /// Whether agents have it.
    pub agent: bool,
}

const ALL: &[Role] = &Role::ALL;
const WORKERS: &[Role] = &[Role::Operator, Role::Admin];
const ADMINS: &[Role] = &[Role::Admin];
const NOBODY: &[Role] = &[];

/// Who may do what.
#[rustfmt::skip]
pub const GRANTS: &[Grant] = &[
    Grant { permission: Permission::Read,         session: ALL,     api_token: ALL,     agent: false },
    Grant { permission: Permission::Operate,      session: WORKERS, api_token: WORKERS, agent: false },
    Grant { permission: Permission::Deploy,       session: WORKERS, api_token: WORKERS, agent: false },
    Grant { permission: Permission::Administer,   session: ADMINS,  api_token: ADMINS,  agent: false },
    Grant { permission: Permission::Live,         session: ALL,     api_token: ALL,     agent: false },
    Grant { permission: Permission::AgentChannel, session: NOBODY,  api_token: NOBODY,  agent: true  },
];

/// Whether the table grants `permission` to `principal`.
#[must_use]
pub fn allows(principal: &Principal, permission: Permission) -> bool {
    GRANTS
        .iter()
        .filter(|grant| grant.permission == permission)
        .any(|grant| match principal {
            Principal::Session { role, .. } => grant.session.contains(role),
            Principal::ApiToken { role, .. } => grant.api_token.contains(role),
            Principal::Agent(_) => grant.agent,
        })
}

impl Role {
    /// Every role, least powerful first.
    pub const ALL: [Role; 3] = [Role::Viewer, Role::Operator, Role::Admin];

    /// The role as it is written in the store, on the command line and in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Role::Viewer => "viewer",
            Role::Operator => "operator",
            Role::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text is not the name of a role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected viewer, operator or admin")]
pub struct UnknownRole;

impl FromStr for Role {
    type Err = UnknownRole;
    fn from_str(text: &str) -> Result<Self, UnknownRole> {
        Role::ALL
            .into_iter()
            .find(|role| role.as_str() == text)
            .ok_or(UnknownRole)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{AgentIdentity, SecretHash};
    use super::*;

    /// The table once more, written by hand in the other direction.
    #[test]
    fn the_matrix_is_exactly_this_and_everything_else_is_denied() {
        use Permission::{Administer, AgentChannel, Deploy, Live, Operate, Read};
        let hash = SecretHash::of("x");
        let session = |role| Principal::Session {
            account: "a".into(),
            role,
            hash,
        };
        let token = |role| Principal::ApiToken {
            name: "t".into(),
            role,
            hash,
        };
        let rows: [(Principal, &[Permission]); 7] = [
            (session(Role::Viewer), &[Read, Live]),
            (session(Role::Operator), &[Read, Operate, Deploy, Live]),
            (
                session(Role::Admin),
                &[Read, Operate, Deploy, Administer, Live],
            ),
            (token(Role::Viewer), &[Read, Live]),
            (token(Role::Operator), &[Read, Operate, Deploy, Live]),
            (
                token(Role::Admin),
                &[Read, Operate, Deploy, Administer, Live],
            ),
            (Principal::Agent(AgentIdentity::Shared), &[AgentChannel]),
        ];
        for (principal, granted) in rows {
            for permission in [Read, Operate, Deploy, Administer, Live, AgentChannel] {
                assert_eq!(
                    allows(&principal, permission),
                    granted.contains(&permission),
                    "{principal:?} {permission:?}"
                );
            }
        }
    }

    #[test]
    fn role_names_round_trip() {
        for role in Role::ALL {
            assert_eq!(role.as_str().parse(), Ok(role));
        }
        assert_eq!("Admin".parse::<Role>(), Err(UnknownRole));
    }
}
