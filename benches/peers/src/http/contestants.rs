//! Who takes part over HTTP: the bare client, and clients wrapped in layers.

use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tower::ServiceBuilder;

use super::turns::{Contestant, contestant};
use crate::terms;

/// What all of them wrap.
pub(super) type Bare = Client<HttpConnector, Full<Bytes>>;

/// All contestants; the bare client comes first. Each has a pool of connections of its own.
pub(super) fn all(address: SocketAddr) -> Vec<Box<dyn Contestant>> {
    vec![
        contestant("bare", address, bare()),
        contestant(
            "tower",
            address,
            ServiceBuilder::new()
                .timeout(terms::DEADLINE)
                .concurrency_limit(terms::LIMIT)
                .timeout(terms::ATTEMPT)
                .service(bare()),
        ),
        contestant(
            "seawall",
            address,
            seawall::stack::payment("http")
                .http()
                .clock(seawall::clock::Clock::system())
                .build()
                .expect("valid")
                .service(bare()),
        ),
    ]
}

fn bare() -> Bare {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    Client::builder(TokioExecutor::new()).build(connector)
}
