//! A limit that moves by itself, under calls as they come.

use std::task::{Context, Waker};
use std::time::Duration;

use seawall::bulkhead::{BulkheadConfig, BulkheadLayer, Vegas};
use seawall::clock::Clock;
use seawall::error::BoxError;
use tokio::sync::oneshot;
use tower::{Layer, Service, service_fn};

/// How a call ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Answered,
    Failed,
    Dropped,
}

/// Fills the bulkhead with calls of 100 ms, round after round; gives the limits.
fn limits(end: End, rounds: usize) -> Vec<u32> {
    let (clock, hand) = Clock::manual();
    let config = BulkheadConfig::new("payments").limit(10).adaptive(Vegas::new()).clock(clock);
    let layer = BulkheadLayer::new(config).unwrap();
    let handle = layer.handle();
    let mut client = layer.layer(service_fn(|answer: oneshot::Receiver<bool>| async {
        if answer.await.unwrap() { Ok(()) } else { Err(BoxError::from("declined")) }
    }));
    let cx = &mut Context::from_waker(Waker::noop());
    let round = |_| {
        let limit = handle.snapshot().limit;
        let calls: Vec<_> = (0..limit)
            .map(|_| {
                let (answers, answer) = oneshot::channel();
                assert!(client.poll_ready(cx).is_ready());
                (answers, Box::pin(client.call(answer)))
            })
            .collect();
        hand.advance(Duration::from_millis(100));
        for (answers, mut call) in calls {
            if end != End::Dropped {
                answers.send(end == End::Answered).unwrap();
                assert!(call.as_mut().poll(cx).is_ready());
            }
        }
        let snapshot = handle.snapshot();
        assert_eq!(snapshot.in_flight, 0);
        snapshot.limit
    };
    (0..rounds).map(round).collect()
}

#[test]
fn only_answers_move_it() {
    assert!(limits(End::Answered, 10).into_iter().max().unwrap() > 20);
    for end in [End::Failed, End::Dropped] {
        assert!(limits(end, 100).into_iter().all(|limit| limit == 10), "{end:?}");
    }
}

#[test]
fn the_same_calls_move_it_in_the_same_way() {
    assert_eq!(limits(End::Answered, 300), limits(End::Answered, 300));
}

#[test]
fn a_limit_that_is_set_is_where_it_goes_on() {
    let config = BulkheadConfig::new("payments").limit(10).limits(5..=50).adaptive(Vegas::new());
    let handle = BulkheadLayer::new(config).unwrap().handle();
    handle.reconfigure(|config| config.limit(40)).unwrap();
    assert_eq!(handle.snapshot().limit, 40);
    let error = handle.reconfigure(|config| config.limit(51)).unwrap_err();
    assert_eq!((error.field(), error.range()), ("limit", "within `limits`"));
    assert_eq!(handle.snapshot().limit, 40);
}
