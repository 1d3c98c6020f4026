//! Every route that changes something, as a table. A route is made from its row (see
//! [`change`](super::endpoint::change)), so none of them can be without permission and
//! `Idempotency-Key`; access tests, tests of the keys and the documentation read the same rows.

use http::{Method, StatusCode};

use crate::auth::Permission;

/// One route that changes something.
#[derive(Clone, Debug)]
pub struct Mutation {
    /// The method.
    pub method: Method,
    /// The path; `{…}` stands for one word, and there is at most one.
    pub path: &'static str,
    /// What one must be allowed to do.
    pub permission: Permission,
    /// The status of its success.
    pub status: StatusCode,
}

macro_rules! mutations {
    ($($name:ident = $method:ident $path:literal $permission:ident $status:ident;)+) => {
        $(
            #[doc = concat!("`", stringify!($method), " ", $path, "`")]
            pub const $name: Mutation = Mutation {
                method: Method::$method,
                path: $path,
                permission: Permission::$permission,
                status: StatusCode::$status,
            };
        )+

        /// Every route that changes something.
        pub const MUTATIONS: &[Mutation] = &[$($name),+];
    };
}

#[rustfmt::skip]
mutations! {
    HOST_ADD               = POST   "/api/v1/hosts"                             Operate    CREATED;
    HOST_REMOVE            = DELETE "/api/v1/hosts/{id}"                        Administer OK;
    HOST_HOLD              = POST   "/api/v1/hosts/{id}/hold"                   Operate    ACCEPTED;
    HOST_RELEASE           = POST   "/api/v1/hosts/{id}/release"                Operate    ACCEPTED;
    HOST_TESTS             = POST   "/api/v1/hosts/{id}/tests"                  Operate    ACCEPTED;
    HOST_COLOR             = POST   "/api/v1/hosts/{id}/color"                  Operate    ACCEPTED;
    HOST_SETTINGS          = PUT    "/api/v1/hosts/{id}/settings"               Operate    OK;
    HOST_STOP              = POST   "/api/v1/hosts/{id}/stop"                   Operate    ACCEPTED;
    HOST_KILL              = POST   "/api/v1/hosts/{id}/kill"                   Operate    ACCEPTED;
    COMMAND_STOP           = POST   "/api/v1/commands/{id}/stop"                Operate    ACCEPTED;
    COMMAND_DECIDE         = POST   "/api/v1/commands/{id}/decide"              Operate    ACCEPTED;
    DISPATCH               = POST   "/api/v1/dispatch"                          Operate    OK;
    UPDATES_CHECK          = POST   "/api/v1/updates/check"                     Operate    ACCEPTED;
    UPDATE_MERGE           = POST   "/api/v1/updates/{number}/merge"            Deploy     ACCEPTED;
    UPDATE_DEPLOY          = POST   "/api/v1/updates/{number}/merge-and-deploy" Deploy     ACCEPTED;
    UPDATE_REVERT          = POST   "/api/v1/updates/{number}/revert"           Deploy     ACCEPTED;
    ROLLOUT_START          = POST   "/api/v1/rollouts"                          Deploy     CREATED;
    ROLLOUT_PAUSE          = POST   "/api/v1/rollouts/{id}/pause"               Deploy     OK;
    ROLLOUT_RESUME         = POST   "/api/v1/rollouts/{id}/resume"              Deploy     OK;
    ROLLOUT_CANCEL         = POST   "/api/v1/rollouts/{id}/cancel"              Deploy     OK;
    ROLLOUT_RETRY          = POST   "/api/v1/rollouts/{id}/retry-failed"        Deploy     OK;
    ROLLOUT_APPROVE        = POST   "/api/v1/rollouts/{id}/approve"             Deploy     OK;
    ROLLOUT_ROLL_BACK      = POST   "/api/v1/rollouts/{id}/roll-back"           Deploy     OK;
    ROLLOUT_SKIP           = POST   "/api/v1/rollouts/{id}/skip"                Deploy     OK;
    PIPELINE_START         = POST   "/api/v1/pipelines"                         Deploy     CREATED;
    WINDOW_SET             = PUT    "/api/v1/windows/{id}"                      Deploy     OK;
    WINDOW_REMOVE          = DELETE "/api/v1/windows/{id}"                      Deploy     OK;
    HOLD_PLACE             = POST   "/api/v1/holds"                             Operate    CREATED;
    HOLD_RELEASE           = DELETE "/api/v1/holds/{id}"                        Operate    OK;
    QUARANTINE_LIFT        = POST   "/api/v1/quarantine/lift"                   Operate    OK;
    NOTIFICATION_TEST      = POST   "/api/v1/notifications/test"                Operate    ACCEPTED;
    // The paths that existing tools use.
    OLD_DISPATCH           = POST   "/api/dispatch"                             Operate    OK;
    OLD_PIPELINE           = POST   "/api/dispatch/pipeline"                    Deploy     OK;
    OLD_HOST_ADD           = POST   "/api/hosts"                                Operate    CREATED;
    OLD_HOST_REMOVE        = DELETE "/api/hosts/{id}"                           Administer OK;
    OLD_COMMAND            = POST   "/api/hosts/{id}/command"                   Operate    OK;
    OLD_REFRESH            = POST   "/api/hosts/{id}/refresh"                   Operate    OK;
    OLD_REFRESH_GIT        = POST   "/api/hosts/{id}/refresh-git"               Operate    OK;
    OLD_REBOOT             = POST   "/api/hosts/{id}/reboot"                    Operate    OK;
    OLD_KILL               = POST   "/api/hosts/{id}/kill"                      Operate    ACCEPTED;
    OLD_COLOR              = POST   "/api/hosts/{id}/theme-color"               Operate    ACCEPTED;
    OLD_TIMEOUT            = POST   "/api/hosts/{id}/timeout-action"            Operate    ACCEPTED;
    OLD_UPDATES_CHECK      = POST   "/api/flake-updates/check"                  Operate    OK;
    OLD_UPDATE_MERGE       = POST   "/api/flake-updates/merge-pr"               Deploy     OK;
    OLD_UPDATE_DEPLOY      = POST   "/api/flake-updates/merge-and-deploy"       Deploy     OK;
}

/// Requests by `POST` that change nothing but look: a key is not needed, and not looked at.
pub const LOOKS: &[&str] = &[
    "/api/v1/rollouts/plan",
    "/api/v1/updates/{number}/plan",
    "/api/v1/simulate",
];

/// Requests by `POST` that take no key, and why.
pub const WITHOUT_KEY: &[(&str, &str)] = &[
    ("/login", "nobody is there yet whose key it could be"),
    ("/logout", "doing it twice is the same as once"),
    (
        "/api/v1/live/ticket",
        "a ticket opens one connection; an answer that is kept would be a credential on record",
    ),
    (
        "/api/v1/webhooks/{forge}",
        "signed by the forge, which numbers its messages",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_distinct_and_paths_have_at_most_one_word_to_fill_in() {
        for (index, one) in MUTATIONS.iter().enumerate() {
            assert!(one.path.matches('{').count() <= 1, "{}", one.path);
            assert!(one.status.is_success());
            let same = |other: &&Mutation| (&other.method, other.path) == (&one.method, one.path);
            assert!(
                !MUTATIONS[..index].iter().any(|other| same(&other)),
                "{}",
                one.path
            );
        }
    }

    #[test]
    fn the_documentation_has_every_row_and_no_other() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/api.md");
        let text = std::fs::read_to_string(path).unwrap();
        let told: Vec<&str> = text
            .lines()
            .filter(|line| {
                ["| `POST", "| `PUT", "| `DELETE"]
                    .iter()
                    .any(|start| line.starts_with(start))
            })
            .collect();
        let role = |permission| match permission {
            Permission::Read | Permission::Live | Permission::AgentChannel => "nobody",
            Permission::Operate | Permission::Deploy => "operator",
            Permission::Administer => "admin",
        };
        let line = |row: &Mutation| {
            let (method, status) = (&row.method, row.status.as_u16());
            format!(
                "| `{method} {}` | {} | {status} |",
                row.path,
                role(row.permission)
            )
        };
        let expected: Vec<String> = MUTATIONS.iter().map(line).collect();
        assert_eq!(told, expected);
        for path in LOOKS {
            assert!(text.contains(&format!("`POST {path}`")), "{path}");
        }
    }

    /// The only places that may take anything but a `GET` are the one that makes routes from rows,
    /// and those named in [`WITHOUT_KEY`].
    #[test]
    fn no_route_that_changes_something_goes_round_the_table() {
        fn look(folder: &std::path::Path, found: &mut Vec<String>) {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    look(&path, found);
                    continue;
                }
                let name = path.file_name().unwrap().to_string_lossy().into_owned();
                let text = std::fs::read_to_string(&path).unwrap();
                let calls = ["post()", "put()", "delete()", "patch()", "method()"];
                let calls = calls.map(|call| format!("warp::{call}"));
                let uses: usize = calls.iter().map(|call| text.matches(call).count()).sum();
                found.extend((0..uses).map(|_| name.clone()));
            }
        }
        let mut found = Vec::new();
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/routes");
        look(std::path::Path::new(folder), &mut found);
        found.sort();
        let expected = [
            "auth.rs",
            "auth.rs",
            "auth.rs",
            "endpoint.rs",
            "endpoint.rs",
            "endpoint.rs",
            "webhooks.rs",
        ];
        assert_eq!(
            found, expected,
            "make the route with endpoint::change from a row of MUTATIONS"
        );
        assert_eq!(WITHOUT_KEY.len(), 4);
    }
}
