//! The checkout service: asks the payment service on its callers' behalf, and says plainly what
//! came of it.

use std::net::SocketAddr;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{AGE, AUTHORIZATION, CONTENT_TYPE};
use axum::http::{HeaderName, HeaderValue, Response, StatusCode, Uri};
use axum::routing::{get, post};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use serde::Serialize;

use crate::answer::{Failure, Kind, Refusal};
use crate::client::{PaymentClient, Trouble};

const MOST_BODY: usize = 64 * 1024;

#[derive(Clone, Debug)]
struct Checkout {
    client: PaymentClient,
    payment: SocketAddr,
}

pub(crate) fn router(client: PaymentClient, payment: SocketAddr) -> Router {
    let mut router = Router::new();
    for kind in Kind::READS {
        router = router.route(&format!("{}/{{key}}", kind.path()), get(ask));
    }
    router.route(Kind::Charge.path(), post(ask)).with_state(Checkout { client, payment })
}

async fn ask(State(checkout): State<Checkout>, request: Request) -> Response<Body> {
    let request = match onward(checkout.payment, request).await {
        Ok(request) => request,
        Err(problem) => return json(StatusCode::BAD_REQUEST, &Failure { failed: problem }),
    };
    tell(checkout.client.call(request).await)
}

/// What the caller hears of what came of the call.
fn tell(came: Result<Response<Bytes>, Trouble>) -> Response<Body> {
    match came {
        Ok(response) if response.status().is_success() => {
            let age = response.headers().get(AGE).cloned();
            let mut answer = Response::new(Body::from(response.into_body()));
            answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            // The mark goes all the way: whoever reads a stale answer must know it.
            if let Some(age) = age {
                answer.headers_mut().insert(AGE, age);
            }
            answer
        }
        Ok(response) => {
            let failed = format!("the payment service answered {}", response.status());
            json(StatusCode::BAD_GATEWAY, &Failure { failed })
        }
        Err(Trouble::Refused { reason, sent }) => {
            let refusal = Refusal { refused: reason.to_owned(), sent };
            json(StatusCode::SERVICE_UNAVAILABLE, &refusal)
        }
        Err(Trouble::Failed(failed)) => json(StatusCode::BAD_GATEWAY, &Failure { failed }),
    }
}

/// The caller's request, as the payment service gets it.
async fn onward(
    payment: SocketAddr,
    request: Request,
) -> Result<axum::http::Request<Full<Bytes>>, String> {
    let (head, body) = request.into_parts();
    let body = Limited::new(body, MOST_BODY).collect().await.map_err(|error| error.to_string())?;
    let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
    let uri: Uri = format!("http://{payment}{path}").parse().map_err(|_| "bad path".to_owned())?;
    let mut onward = axum::http::Request::new(Full::new(body.to_bytes()));
    *onward.method_mut() = head.method;
    *onward.uri_mut() = uri;
    for name in [AUTHORIZATION, CONTENT_TYPE, HeaderName::from_static("idempotency-key")] {
        if let Some(value) = head.headers.get(&name) {
            onward.headers_mut().insert(name, value.clone());
        }
    }
    Ok(onward)
}

fn json(status: StatusCode, body: &impl Serialize) -> Response<Body> {
    let body = serde_json::to_vec(body).unwrap_or_default();
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn told(came: Result<Response<Bytes>, Trouble>) -> (u16, Option<HeaderValue>, String) {
        let response = tell(came);
        let (status, age) = (response.status().as_u16(), response.headers().get(AGE).cloned());
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, age, String::from_utf8(body.to_vec()).unwrap())
    }

    fn answer(status: u16, age: Option<&'static str>) -> Result<Response<Bytes>, Trouble> {
        let mut answer = Response::builder().status(status);
        if let Some(age) = age {
            answer = answer.header(AGE, age);
        }
        Ok(answer.body(Bytes::from_static(b"{}")).unwrap())
    }

    #[tokio::test]
    async fn the_mark_of_a_stale_answer_goes_all_the_way() {
        let marked = (200, Some(HeaderValue::from_static("7")), "{}".to_owned());
        assert_eq!(told(answer(200, Some("7"))).await, marked);
        assert_eq!(told(answer(200, None)).await, (200, None, "{}".to_owned()));
    }

    #[tokio::test]
    async fn a_refusal_says_why_and_whether_anything_was_sent() {
        for sent in [false, true] {
            let refused = Trouble::Refused { reason: "circuit_open", sent };
            let (status, _, body) = told(Err(refused)).await;
            assert_eq!(status, 503);
            let refusal: Refusal = serde_json::from_str(&body).unwrap();
            assert_eq!(refusal, Refusal { refused: "circuit_open".to_owned(), sent });
        }
    }

    #[tokio::test]
    async fn a_sick_payment_service_is_no_answer_and_no_refusal() {
        let (status, _, body) = told(answer(503, None)).await;
        assert_eq!(status, 502);
        assert!(body.contains("503") && !body.contains("refused"), "{body}");
        let failed = told(Err(Trouble::Failed("connection reset".to_owned()))).await;
        assert_eq!((failed.0, failed.2.contains("reset")), (502, true));
    }
}
