//! The server: answers every request with the same small body.

use std::convert::Infallible;
use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use crate::args::Failure;
use crate::runtimes;

const BODY: &[u8] = br#"{"account":"5ea-a11","balance":"1024.00","currency":"EUR"}"#;

/// A server that runs until it is dropped.
#[derive(Debug)]
pub(super) struct Server {
    _runtime: Runtime,
    /// Where it listens.
    pub(super) address: SocketAddr,
}

impl Server {
    /// Listens on a free port of the loopback interface.
    pub(super) fn start() -> Result<Self, Failure> {
        let runtime = runtimes::with_workers(1);
        let listener = runtime.block_on(TcpListener::bind(("127.0.0.1", 0)))?;
        let address = listener.local_addr()?;
        runtime.spawn(accept(listener));
        Ok(Self { _runtime: runtime, address })
    }
}

async fn accept(listener: TcpListener) {
    while let Ok((stream, _)) = listener.accept().await {
        // Small answers, one at a time: waiting to fill a segment would be all that is measured.
        _ = stream.set_nodelay(true);
        let serve =
            http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer));
        tokio::spawn(serve);
    }
}

async fn answer<B>(_: http::Request<B>) -> Result<http::Response<Full<Bytes>>, Infallible> {
    Ok(http::Response::new(Full::new(Bytes::from_static(BODY))))
}
