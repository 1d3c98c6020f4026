//! `GET /api/v1/tables`: the tables of the core as data, so that clients hold no rules and no
//! sentences of their own.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use http::HeaderMap;
use nixfleet_core::render::tables_json;
use warp::Filter;

use super::{Route, answer, get_or_head, idempotency, tagged};
use crate::auth::{Auth, Permission, filters};

/// `GET /api/v1/tables`.
#[must_use]
pub fn routes(auth: &Arc<Auth>) -> Route {
    warp::path!("api" / "v1" / "tables")
        .and(get_or_head())
        .and(filters::require(auth, Permission::Read))
        .and(warp::header::headers_cloned())
        .and_then(|_principal, headers: HeaderMap| async move {
            // Constant data: written once.
            static DOCUMENT: OnceLock<Bytes> = OnceLock::new();
            let written =
                || idempotency::body(&tables_json()).inspect(|body| _ = DOCUMENT.set(body.clone()));
            let body = DOCUMENT.get().cloned().map_or_else(written, Ok);
            answer(body.map(|body| tagged(&headers, body)))
        })
        .boxed()
}

#[cfg(test)]
mod tests {
    use nixfleet_core::ReasonCode;

    use super::*;

    #[test]
    fn the_tables_are_written_under_the_names_that_the_page_uses() {
        let tables = tables_json();
        assert_eq!(
            tables["reasons"]["checkout-behind"],
            ReasonCode::CheckoutBehind.template()
        );
        assert_eq!(tables["attentions"][0]["code"], "update-pending");
        assert_eq!(tables["ops"][0]["op"], "pull");
        assert_eq!(tables["ops"][0]["overlay"][0], "git");
        assert_eq!(tables["phases"][0]["phase"], "PENDING");
        assert_eq!(tables["phases"][0]["active"], false);
    }
}
