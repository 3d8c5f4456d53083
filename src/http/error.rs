//! What can go wrong with a call whose body is read, and how to find the client's own error in it.

use std::error::Error as StdError;
use std::fmt;

use crate::error::{Carry, Error, Rejected};

/// The error of a [`Buffer`](super::Buffer): the call failed, or its body broke off.
///
/// ```
/// use seawall::http::BufferError;
/// use std::io;
///
/// let broken: BufferError<io::Error, io::Error> =
///     BufferError::Body(io::Error::other("connection reset"));
/// assert_eq!(broken.to_string(), "the body broke off: connection reset");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BufferError<E, B> {
    /// The client's error, as it was.
    Call(E),
    /// The response began well, but its body broke off: the body's error.
    Body(B),
}

impl<E: fmt::Display, B: fmt::Display> fmt::Display for BufferError<E, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Call(error) => error.fmt(f),
            Self::Body(error) => write!(f, "the body broke off: {error}"),
        }
    }
}

impl<E, B> StdError for BufferError<E, B>
where
    E: StdError + 'static,
    B: StdError + 'static,
{
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Call(error) => error.source(),
            Self::Body(error) => Some(error),
        }
    }
}

/// Refusals travel in the client's error, where that can carry them.
impl<E: Carry, B> Carry for BufferError<E, B> {
    fn from_rejected(rejected: Rejected) -> Self {
        Self::Call(E::from_rejected(rejected))
    }

    fn rejected(&self) -> Option<&Rejected> {
        match self {
            Self::Call(error) => error.rejected(),
            Self::Body(_) => None,
        }
    }
}

/// An error in which the client's own error `E` may be found: as itself, in a [`BufferError`], in a
/// [`seawall::Error`](crate::error::Error), or in one of these in the other.
///
/// ```
/// use seawall::error::Error;
/// use seawall::http::{BufferError, ClientError};
/// use std::{fmt, io};
///
/// let wrapped: Error<BufferError<io::Error, fmt::Error>> =
///     Error::Inner(BufferError::Call(io::ErrorKind::ConnectionRefused.into()));
/// let found: Option<&io::Error> = wrapped.client_error();
/// assert_eq!(found.unwrap().kind(), io::ErrorKind::ConnectionRefused);
/// ```
pub trait ClientError<E> {
    /// The client's error, if the client is where it went wrong.
    fn client_error(&self) -> Option<&E>;
}

impl<E> ClientError<E> for E {
    fn client_error(&self) -> Option<&E> {
        Some(self)
    }
}

impl<E> ClientError<E> for Error<E> {
    fn client_error(&self) -> Option<&E> {
        match self {
            Self::Inner(error) => Some(error),
            Self::Rejected(_) => None,
        }
    }
}

impl<E, B> ClientError<E> for BufferError<E, B> {
    fn client_error(&self) -> Option<&E> {
        match self {
            Self::Call(error) => Some(error),
            Self::Body(_) => None,
        }
    }
}

impl<E, B> ClientError<E> for Error<BufferError<E, B>> {
    fn client_error(&self) -> Option<&E> {
        match self {
            Self::Inner(error) => error.client_error(),
            Self::Rejected(_) => None,
        }
    }
}

impl<E, B> ClientError<E> for BufferError<Error<E>, B> {
    fn client_error(&self) -> Option<&E> {
        match self {
            Self::Call(error) => error.client_error(),
            Self::Body(_) => None,
        }
    }
}
