//! Waits for the response, then for its body.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use ::http::response::Parts;
use ::http::{HeaderMap, Response};
use bytes::{Bytes, BytesMut};
use pin_project_lite::pin_project;

use super::body::{Body, into_bytes};
use super::error::BufferError;

pin_project! {
    /// The response future of a [`Buffer`](super::Buffer).
    pub struct ResponseFuture<F, B> {
        #[pin]
        call: F,
        // How much to read; `None` if the body passes through.
        max_body: Option<usize>,
        reading: Option<Reading<B>>,
    }
}

/// A response whose body is being read.
struct Reading<B> {
    head: Parts,
    body: B,
    read: Read,
    trailers: Option<HeaderMap>,
}

/// What was read so far: one chunk as it came, or several in one piece. (A list of them would let a
/// body of one-byte chunks take up many times its length.)
enum Read {
    One(Bytes),
    More(BytesMut),
}

impl<F, B> ResponseFuture<F, B> {
    pub(super) const fn new(call: F, max_body: Option<usize>) -> Self {
        Self { call, max_body, reading: None }
    }
}

impl<F, B, E> Future for ResponseFuture<F, B>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: http_body::Body + Unpin,
{
    type Output = Result<Response<Body<B>>, BufferError<E, B::Error>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            if let Some(reading) = this.reading {
                let max_body = this.max_body.unwrap_or(0);
                let whole = ready!(reading.poll(max_body, cx)).map_err(BufferError::Body)?;
                if let Some(reading) = this.reading.take() {
                    return Poll::Ready(Ok(reading.into_response(whole)));
                }
            }
            let response = ready!(this.call.as_mut().poll(cx)).map_err(BufferError::Call)?;
            let (head, body) = response.into_parts();
            let fits = |max: usize| body.size_hint().lower() <= max as u64;
            if !this.max_body.is_some_and(fits) {
                return Poll::Ready(Ok(Response::from_parts(head, Body::passing(body))));
            }
            *this.reading =
                Some(Reading { head, body, read: Read::One(Bytes::new()), trailers: None });
        }
    }
}

impl<B: http_body::Body + Unpin> Reading<B> {
    /// Reads on; `true` when all is read, `false` when it is too long.
    fn poll(&mut self, max_body: usize, cx: &mut Context<'_>) -> Poll<Result<bool, B::Error>> {
        while !self.body.is_end_stream() {
            let Some(frame) = ready!(Pin::new(&mut self.body).poll_frame(cx)?) else {
                break;
            };
            match frame.into_data() {
                Ok(data) => {
                    self.read.push(into_bytes(data), max_body);
                    if self.read.len() > max_body {
                        return Poll::Ready(Ok(false));
                    }
                }
                Err(frame) => {
                    if let Ok(trailers) = frame.into_trailers() {
                        self.trailers = Some(trailers);
                    }
                }
            }
        }
        Poll::Ready(Ok(true))
    }

    fn into_response(self, whole: bool) -> Response<Body<B>> {
        let read = match self.read {
            Read::One(chunk) => chunk,
            Read::More(chunks) => chunks.freeze(),
        };
        let body = if whole {
            Body::with_trailers(read, self.trailers)
        } else {
            Body::partly_read(read, self.body)
        };
        Response::from_parts(self.head, body)
    }
}

impl Read {
    fn len(&self) -> usize {
        match self {
            Self::One(chunk) => chunk.len(),
            Self::More(chunks) => chunks.len(),
        }
    }

    fn push(&mut self, chunk: Bytes, max_body: usize) {
        match self {
            Self::One(first) if first.is_empty() => *first = chunk,
            Self::One(first) => {
                // Twice what is there, as a vector grows; no more than will be kept.
                let room = (first.len() + chunk.len()).saturating_mul(2).min(max_body);
                let mut chunks = BytesMut::with_capacity(room);
                chunks.extend_from_slice(first);
                chunks.extend_from_slice(&chunk);
                *self = Self::More(chunks);
            }
            Self::More(chunks) => chunks.extend_from_slice(&chunk),
        }
    }
}

impl<F, B> fmt::Debug for ResponseFuture<F, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match (self.max_body, &self.reading) {
            (None, _) => "passing through",
            (_, None) => "called",
            (_, Some(_)) => "reading",
        };
        write!(f, "ResponseFuture({state})")
    }
}
