//! API tokens made by the command, on every path that reads.

use http::Method;
use nixfleet_tests::client::Api;
use nixfleet_tests::fleet::{Fleet, good};
use serde_json::json;

use super::paths;

const WEB: &str = "web-1";
const PATHS: &[&str] = &[
    "/api/v1/hosts",
    "/api/v1/hosts/web-1",
    "/api/v1/hosts/web-1/explain",
    "/api/v1/state",
    "/api/v1/events",
    "/api/v1/commands",
    "/api/v1/tables",
    "/api/hosts",
    "/api/hosts/web-1/logs",
    "/api/hosts/web-1/output",
    "/api/hosts/web-1/events",
    "/api/command-states",
    "/api/system-log",
    "/api/events",
    "/api/ops",
    "/api/pipelines",
    "/api/flake-updates/status",
];

#[tokio::test]
async fn a_token_opens_every_path_of_the_api_and_its_role_bounds_it() {
    let mut fleet = Fleet::create(Fleet::setup(&paths(), &[WEB]));
    fleet.start().await;
    let nobody = good(Api::new(good(fleet.api()).origin()));
    let viewer = nobody.with_token(&good(fleet.create_token("watch", "viewer")));
    let operator = nobody.with_token(&good(fleet.create_token("operate", "operator")));
    let stranger = nobody.with_token("nfp_this-is-no-token-of-this-server");
    for path in PATHS {
        for (api, wanted) in [
            (&nobody, 401),
            (&stranger, 401),
            (&viewer, 200),
            (&operator, 200),
        ] {
            let answer = good(api.request(Method::GET, path, None).await);
            assert_eq!(answer.status.as_u16(), wanted, "{path}: {}", answer.body);
        }
    }
    let pull = json!({ "op": "pull", "hosts": [WEB] });
    for path in ["/api/v1/dispatch", "/api/dispatch"] {
        let refused = good(viewer.request(Method::POST, path, Some(&pull)).await);
        assert_eq!(refused.status.as_u16(), 403, "{path}: {}", refused.body);
        let done = good(operator.request(Method::POST, path, Some(&pull)).await);
        assert_eq!(done.status.as_u16(), 200, "{path}: {}", done.body);
    }
    fleet.end().await;
}
