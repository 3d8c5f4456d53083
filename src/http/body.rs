//! A body that is here already, or that is still coming.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use ::http::HeaderMap;
use bytes::{Buf, Bytes};
use http_body::{Frame, SizeHint};

/// The body of a response that came through a [`Buffer`](super::Buffer): whole, or passing through.
///
/// Either way it is an [`http_body::Body`] of [`Bytes`]. A whole one was read to its end before the
/// response was handed on, trailers included: it can't fail any more, and it can be kept.
///
/// ```
/// use bytes::Bytes;
/// use http_body_util::{BodyExt, Empty};
/// use seawall::http::Body;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let whole: Body<Empty<Bytes>> = Body::whole("9.99 EUR");
/// assert_eq!(whole.as_bytes().unwrap(), "9.99 EUR");
/// assert_eq!(whole.collect().await.unwrap().to_bytes(), "9.99 EUR");
///
/// let passing = Body::passing(Empty::<Bytes>::new());
/// assert!(passing.as_bytes().is_none());
/// # }
/// ```
pub struct Body<B>(Kind<B>);

enum Kind<B> {
    /// All of it; each part is taken when it is polled.
    Whole { data: Bytes, trailers: Option<HeaderMap> },
    /// What was read of it before it turned out to be too long, and the rest.
    Passing { read: Bytes, rest: B },
}

impl<B> Body<B> {
    /// A body that is here already.
    pub fn whole(data: impl Into<Bytes>) -> Self {
        Self::with_trailers(data.into(), None)
    }

    /// A body that passes through as it comes.
    pub const fn passing(body: B) -> Self {
        Self::partly_read(Bytes::new(), body)
    }

    pub(super) const fn with_trailers(data: Bytes, trailers: Option<HeaderMap>) -> Self {
        Self(Kind::Whole { data, trailers })
    }

    pub(super) const fn partly_read(read: Bytes, rest: B) -> Self {
        Self(Kind::Passing { read, rest })
    }

    /// All its bytes, if it is whole (and none was polled off yet).
    pub const fn as_bytes(&self) -> Option<&Bytes> {
        match &self.0 {
            Kind::Whole { data, .. } => Some(data),
            Kind::Passing { .. } => None,
        }
    }

    /// Its trailers, if it is whole and has any.
    pub const fn trailers(&self) -> Option<&HeaderMap> {
        match &self.0 {
            Kind::Whole { trailers, .. } => trailers.as_ref(),
            Kind::Passing { .. } => None,
        }
    }
}

impl<B> http_body::Body for Body<B>
where
    B: http_body::Body + Unpin,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match &mut self.get_mut().0 {
            Kind::Whole { data, .. } if !data.is_empty() => {
                Poll::Ready(Some(Ok(Frame::data(std::mem::take(data)))))
            }
            Kind::Whole { trailers, .. } => {
                Poll::Ready(trailers.take().map(|map| Ok(Frame::trailers(map))))
            }
            Kind::Passing { read, .. } if !read.is_empty() => {
                Poll::Ready(Some(Ok(Frame::data(std::mem::take(read)))))
            }
            Kind::Passing { rest, .. } => {
                Pin::new(rest).poll_frame(cx).map_ok(|frame| frame.map_data(into_bytes))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Whole { data, trailers } => data.is_empty() && trailers.is_none(),
            Kind::Passing { read, rest } => read.is_empty() && rest.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Whole { data, .. } => SizeHint::with_exact(data.len() as u64),
            Kind::Passing { read, rest } => {
                let (rest, read) = (rest.size_hint(), read.len() as u64);
                let mut sum = SizeHint::new();
                sum.set_lower(rest.lower().saturating_add(read));
                if let Some(upper) = rest.upper() {
                    sum.set_upper(upper.saturating_add(read));
                }
                sum
            }
        }
    }
}

/// All of `data`; without copying where it is [`Bytes`] already.
pub(super) fn into_bytes(mut data: impl Buf) -> Bytes {
    data.copy_to_bytes(data.remaining())
}

impl<B> fmt::Debug for Body<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Whole { data, .. } => write!(f, "Body(whole, {} bytes)", data.len()),
            Kind::Passing { read, .. } => write!(f, "Body(passing, {} bytes read)", read.len()),
        }
    }
}
