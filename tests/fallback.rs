//! The fallback: one plan, asked for refused and failed calls alone; and the response cache on it.

use std::future::{Future, pending, ready};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::task::noop_waker_ref;
use seawall::error::{BoxError, Carry, Error, Reason, Rejected, Room};
use seawall::event::{Call, Observe, Sink, Wants};
use seawall::fallback::{self, Failed, Fallback, FallbackConfig, FallbackLayer};
use seawall::outcome::Outcome;
use seawall::stale::{Answer, Cause};
use static_assertions::assert_impl_all;
use tower::{Layer, Service, ServiceExt, service_fn};

type Reply = Result<Answer<u32>, BoxError>;

fn refused() -> Rejected {
    Rejected::new(Room::Breaker, Reason::CircuitOpen, "x").retry_after(Some(Duration::from_secs(2)))
}

/// What comes of one call through a value fallback over `reply`.
async fn through_value(reply: fn() -> Reply) -> Reply {
    FallbackLayer::new(FallbackConfig::new("x"), fallback::value(Answer::fresh(0)))
        .layer(service_fn(move |(): ()| ready(reply())))
        .oneshot(())
        .await
}

#[tokio::test]
async fn a_value_answers_for_a_failure_and_for_a_refusal_and_carries_the_cause() {
    let failed = through_value(|| Err("down".into())).await.unwrap();
    assert_eq!(failed.stale.unwrap().cause, Cause::Failed(Outcome::Failure));
    let refused_call = through_value(|| Err(Carry::from_rejected(refused()))).await;
    assert_eq!(
        refused_call.unwrap().stale.unwrap().cause,
        Cause::Rejected(refused()),
        "down to the retry-after"
    );
}

#[tokio::test]
async fn a_good_answer_is_left_alone() {
    let answer = through_value(|| Ok(Answer::fresh(9))).await.unwrap();
    assert_eq!(answer, Answer::fresh(9));
}

#[tokio::test]
async fn without_an_answer_the_original_result_comes_back_untouched() {
    let plan = fallback::function(|_: &Failed<'_, u32, Error<&'static str>>| None);
    let config =
        FallbackConfig::new("x").classify(
            |result: Result<&u32, &Error<&'static str>>| match result {
                Ok(code) if *code < 500 => Outcome::Success,
                _ => Outcome::Failure,
            },
        );
    let layer = FallbackLayer::new(config, plan);
    let call = |reply: Result<u32, Error<&'static str>>| {
        layer.layer(service_fn(move |(): ()| ready(reply))).oneshot(())
    };
    let originals = [Err(Error::Inner("boom")), Err(Error::Rejected(refused())), Ok(503)];
    for original in originals {
        assert_eq!(call(original).await, original);
    }
    assert_eq!(layer.handle().snapshot().passed_on, 3);
}

#[tokio::test]
async fn a_function_sees_the_cause_the_result_and_its_context() {
    let plan = fallback::function_with(
        |request: &u32| request + 1,
        |context: &u32, failed: &Failed<'_, String, Error<&'static str>>| {
            let error = failed.result.as_ref().err()?;
            Some(format!("{context} {} {error}", failed.cause.as_str()))
        },
    );
    let layer = FallbackLayer::new(FallbackConfig::new("x"), plan);
    let call = |error: Error<&'static str>| {
        layer.layer(service_fn(move |_: u32| ready(Err(error)))).oneshot(41)
    };
    assert_eq!(call(Error::Inner("boom")).await.unwrap(), "42 failure boom");
    let answer = call(Error::Rejected(refused())).await.unwrap();
    assert!(answer.starts_with("42 circuit_open x: refused"), "{answer}");
    assert_eq!(layer.handle().snapshot().answered, 2);
    assert_eq!(layer.handle().snapshot().passed_on, 0);
}

#[tokio::test]
async fn what_the_classifier_ignores_or_forgives_is_not_answered_for() {
    let config = FallbackConfig::new("x").classify(|result: Result<&Answer<u32>, &BoxError>| {
        match result.map_err(ToString::to_string) {
            Ok(_) => Outcome::Success,
            Err(e) if e == "no such quote" => Outcome::Success,
            Err(_) => Outcome::Ignored,
        }
    });
    let layer = FallbackLayer::new(config, fallback::value(Answer::fresh(0)));
    for error in ["no such quote", "not our fault"] {
        let service = layer.layer(service_fn(move |(): ()| ready(Reply::Err(error.into()))));
        let passed_on = service.oneshot(()).await.unwrap_err();
        assert_eq!(passed_on.to_string(), error);
    }
    assert_eq!(layer.handle().snapshot().answered, 0);
}

#[tokio::test]
async fn a_call_in_doubt_is_answered_with_that_cause() {
    let config =
        FallbackConfig::new("x").classify(|_: Result<&Answer<u32>, &BoxError>| Outcome::InDoubt);
    let service = FallbackLayer::new(config, fallback::value(Answer::fresh(0)))
        .layer(service_fn(|(): ()| ready(Reply::Err("reset".into()))));
    let answer = service.oneshot(()).await.unwrap();
    assert_eq!(answer.stale.unwrap().cause, Cause::Failed(Outcome::InDoubt));
}

/// Never ready; panics when called.
#[derive(Clone)]
struct Dead;

impl Service<()> for Dead {
    type Response = Answer<u32>;
    type Error = BoxError;
    type Future = std::future::Pending<Reply>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Pending
    }

    fn call(&mut self, (): ()) -> Self::Future {
        panic!("called without being ready")
    }
}

#[tokio::test]
async fn a_service_that_is_never_ready_blocks_no_answer() {
    let config = FallbackConfig::new("quotes");
    let mut service = FallbackLayer::new(config, fallback::value(Answer::fresh(0))).layer(Dead);
    let answer = service.ready().await.unwrap().call(()).await.unwrap();
    let Cause::Rejected(rejected) = answer.stale.unwrap().cause else {
        panic!("{answer:?}");
    };
    assert_eq!(
        (rejected.room, rejected.reason, rejected.name, rejected.sent()),
        (Room::Fallback, Reason::NotReady, "quotes", false)
    );
}

#[tokio::test]
async fn without_an_answer_a_service_that_is_not_ready_is_a_typed_refusal() {
    let plan = fallback::function(|_: &Failed<'_, Answer<u32>, BoxError>| None);
    let mut service = FallbackLayer::new(FallbackConfig::new("x"), plan).layer(Dead);
    let error = service.ready().await.unwrap().call(()).await.unwrap_err();
    assert_eq!(error.rejected().unwrap().reason, Reason::NotReady);
}

#[tokio::test]
async fn an_error_of_poll_ready_is_passed_on() {
    let (mock, mut handle) = tower_test::mock::pair::<(), Answer<u32>>();
    let plan = fallback::value(Answer::fresh(0));
    let mut service = FallbackLayer::new(FallbackConfig::new("x"), plan).layer(mock);
    handle.send_error("gone");
    let error = service.ready().await.map(|_| ()).unwrap_err();
    assert_eq!(error.to_string(), "gone");
}

/// Panics unless the very instance that was made ready is called.
#[derive(Default)]
struct Strict {
    ready: bool,
}

impl Clone for Strict {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl Service<()> for Strict {
    type Response = Answer<u32>;
    type Error = BoxError;
    type Future = std::future::Ready<Reply>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, (): ()) -> Self::Future {
        assert!(std::mem::take(&mut self.ready), "not the one made ready");
        ready(Ok(Answer::fresh(1)))
    }
}

#[tokio::test]
async fn the_instance_that_was_made_ready_is_the_one_called() {
    let plan = fallback::value(Answer::fresh(0));
    let mut service = FallbackLayer::new(FallbackConfig::new("x"), plan).layer(Strict::default());
    for _ in 0..3 {
        let answer = service.ready().await.unwrap().call(()).await.unwrap();
        assert!(!answer.is_stale());
        // A clone was never made ready, and knows it.
        assert!(service.clone().call(()).await.unwrap().is_stale());
    }
}

#[tokio::test]
async fn a_panic_goes_to_the_caller_and_the_next_call_is_answered() {
    let layer = FallbackLayer::new(FallbackConfig::new("x"), fallback::value(Answer::fresh(0)));
    let panics = layer.layer(service_fn(|(): ()| async { panic!("boom") as Reply }));
    let caught = tokio::spawn(panics.oneshot(())).await.unwrap_err();
    assert!(caught.is_panic());
    let fails = layer.layer(service_fn(|(): ()| ready(Reply::Err("down".into()))));
    assert!(fails.oneshot(()).await.unwrap().is_stale());
}

#[test]
fn a_dropped_call_leaves_nothing_behind() {
    let owner = Arc::new(());
    let held = Arc::clone(&owner);
    let plan = fallback::function_with(
        move |(): &()| Arc::clone(&held),
        |_: &Arc<()>, _: &Failed<'_, Answer<u32>, BoxError>| None,
    );
    let mut service = FallbackLayer::new(FallbackConfig::new("x"), plan)
        .layer(service_fn(|(): ()| pending::<Reply>()));
    let mut cx = Context::from_waker(noop_waker_ref());
    for polled in [false, true] {
        assert!(service.poll_ready(&mut cx).is_ready());
        let mut call = Box::pin(service.call(()));
        if polled {
            assert!(call.as_mut().poll(&mut cx).is_pending());
        }
        assert_eq!(Arc::strong_count(&owner), 3);
        drop(call);
        assert_eq!(Arc::strong_count(&owner), 2);
    }
}

#[test]
fn services_and_futures_are_as_send_as_what_they_hold() {
    type Value = fallback::Value<Answer<u32>>;
    assert_impl_all!(FallbackLayer<Value>: Send, Sync, Clone);
    assert_impl_all!(Fallback<Strict, Value>: Send, Sync, Clone, Unpin);
    type Inner = std::future::Ready<Reply>;
    type ByResult = seawall::outcome::ByResult;
    assert_impl_all!(
        fallback::future::ResponseFuture<Inner, Value, ByResult, (), *const ()>: Send, Sync, Unpin
    );
}

struct Calls(Arc<AtomicUsize>, fn(&Call) -> bool);

impl Observe for Calls {
    fn attach(self: Arc<Self>, room: Room, name: &'static str) -> Option<Box<dyn Sink>> {
        assert_eq!((room, name), (Room::Fallback, "x"));
        Some(Box::new(Self(Arc::clone(&self.0), self.1)))
    }
}

impl Sink for Calls {
    fn wants(&self) -> Wants {
        Wants::ALL
    }

    fn called(&self, call: &Call) {
        self.0.fetch_add((self.1)(call).into(), Ordering::Relaxed);
        panic!("in an observer");
    }
}

#[tokio::test]
async fn observers_hear_how_calls_ended_inside_and_their_panics_touch_nothing() {
    let failures = Arc::new(AtomicUsize::new(0));
    let observer = Calls(Arc::clone(&failures), |call| call.outcome == Outcome::Failure);
    let layer = FallbackLayer::new(
        FallbackConfig::new("x").observe(observer),
        fallback::value(Answer::fresh(0)),
    );
    let mut service = layer.layer(service_fn(|ok: bool| {
        ready(if ok { Ok(Answer::fresh(1)) } else { Reply::Err("down".into()) })
    }));
    for ok in [true, false, false] {
        service.ready().await.unwrap().call(ok).await.unwrap();
    }
    let heard = failures.load(Ordering::Relaxed);
    assert_eq!(heard, 2, "although all were answered");
    assert_eq!(layer.handle().observer_panics(), 3);
}

#[cfg(feature = "cache")]
mod cached {
    use super::*;
    use proptest::prelude::*;
    use seawall::clock::{Clock, ManualClock};
    use seawall::event::{Event, Kind};
    use seawall::fallback::{ByKey, CachedConfig, CachedHandle, CachedLayer};
    use seawall::key::Key;
    use seawall::stale::{MarkStale, Staleness};
    use std::collections::HashMap;
    use std::sync::Mutex;

    const SECOND: Duration = Duration::from_secs(1);

    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Ask {
        Read(u32),
        Charge,
    }

    fn key(ask: &Ask) -> Option<Key> {
        match ask {
            Ask::Read(id) => Some(Key::of(id)),
            Ask::Charge => None,
        }
    }

    type Keys = ByKey<fn(&Ask) -> Option<Key>>;
    type Config = CachedConfig<Keys>;
    type Layered = CachedLayer<Keys, Answer<u32>>;

    /// A minute of staleness, a second between refreshes, and a clock to move.
    fn config() -> (Config, ManualClock) {
        let (clock, hand) = Clock::manual();
        let config = CachedConfig::new("x", key as fn(&Ask) -> Option<Key>)
            .max_stale(SECOND * 60)
            .refresh_age(SECOND)
            .clock(clock);
        (config, hand)
    }

    fn layer() -> (Layered, ManualClock) {
        let (config, hand) = config();
        (Layered::cached(config).unwrap(), hand)
    }

    /// One call through `layer` to a service that gives `reply`.
    async fn call(layer: &Layered, ask: Ask, reply: Reply) -> Reply {
        let mut reply = Some(reply);
        layer.layer(service_fn(move |_: Ask| ready(reply.take().unwrap()))).oneshot(ask).await
    }

    fn down() -> Reply {
        Err("down".into())
    }

    fn up(value: u32) -> Reply {
        Ok(Answer::fresh(value))
    }

    #[tokio::test]
    async fn the_last_good_answer_is_given_marked_with_age_and_cause() {
        let (layer, hand) = layer();
        call(&layer, Ask::Read(1), up(10)).await.unwrap();
        hand.advance(SECOND * 40);
        let answer = call(&layer, Ask::Read(1), down()).await.unwrap();
        assert_eq!(answer.value, 10);
        let mark = answer.stale.unwrap();
        assert_eq!(mark.age, SECOND * 40);
        assert_eq!(mark.cause, Cause::Failed(Outcome::Failure));
        let answer = call(&layer, Ask::Read(1), Err(Carry::from_rejected(refused()))).await;
        let mark = answer.unwrap().stale.unwrap();
        assert_eq!(mark.cause, Cause::Rejected(refused()));
    }

    #[tokio::test]
    async fn an_answer_is_given_up_to_max_stale_and_not_a_moment_longer() {
        let (layer, hand) = layer();
        call(&layer, Ask::Read(1), up(10)).await.unwrap();
        hand.advance(SECOND * 60);
        let at_the_limit = call(&layer, Ask::Read(1), down()).await;
        assert!(at_the_limit.is_ok(), "at exactly max_stale");
        hand.advance(Duration::from_nanos(1));
        assert!(call(&layer, Ask::Read(1), down()).await.is_err());
        assert_eq!(layer.cache().snapshot().missed, 1);
    }

    #[tokio::test]
    async fn a_charge_is_never_kept_and_never_answered() {
        let (layer, _hand) = layer();
        call(&layer, Ask::Charge, up(1)).await.unwrap();
        for error in [down(), Err(Carry::from_rejected(refused().after_sending()))] {
            assert!(call(&layer, Ask::Charge, error).await.is_err());
        }
        let seen = layer.cache().snapshot();
        assert_eq!((seen.entries, seen.stale, seen.missed, seen.recent), (0, 0, 0, 0));
    }

    #[tokio::test]
    async fn a_read_in_doubt_is_answered_because_it_is_a_read() {
        let (layer, _hand) = layer();
        call(&layer, Ask::Read(1), up(1)).await.unwrap();
        let timed_out = Rejected::new(Room::Timeout, Reason::TimedOut, "x").after_sending();
        let answer = call(&layer, Ask::Read(1), Err(Carry::from_rejected(timed_out))).await;
        let mark = answer.unwrap().stale.unwrap();
        assert_eq!(mark.cause, Cause::Rejected(timed_out));
    }

    #[tokio::test]
    async fn an_error_never_replaces_a_good_entry() {
        let (layer, hand) = layer();
        call(&layer, Ask::Read(1), up(10)).await.unwrap();
        for _ in 0..5 {
            hand.advance(SECOND * 2);
            call(&layer, Ask::Read(1), down()).await.unwrap();
        }
        assert_eq!(layer.cache().snapshot().written, 1);
        let answer = call(&layer, Ask::Read(1), down()).await.unwrap();
        assert_eq!(answer.value, 10);
    }

    #[tokio::test]
    async fn a_failure_that_is_a_response_is_not_kept() {
        let (config, hand) = config();
        let config = config.classify(|result: Result<&Answer<u32>, &BoxError>| match result {
            Ok(answer) if answer.value < 500 => Outcome::Success,
            _ => Outcome::Failure,
        });
        let layer = FallbackLayer::cached(config).unwrap();
        let mut replies = [200].into_iter();
        let mut service =
            layer.layer(service_fn(move |_: Ask| ready(up(replies.next().unwrap_or(503)))));
        for _ in 0..3 {
            let answer = service.ready().await.unwrap().call(Ask::Read(1)).await;
            assert_eq!(answer.unwrap().value, 200);
            hand.advance(SECOND * 2);
        }
        let other = service.ready().await.unwrap().call(Ask::Read(2)).await;
        assert_eq!(other.unwrap(), Answer::fresh(503), "no answer: as it was");
    }

    #[tokio::test]
    async fn one_key_is_never_given_anothers_answer() {
        let (layer, _hand) = layer();
        for id in 0..2000 {
            call(&layer, Ask::Read(id), up(id)).await.unwrap();
        }
        for id in 0..2000 {
            let answer = call(&layer, Ask::Read(id), down()).await.unwrap();
            assert_eq!(answer.value, id);
        }
        assert!(call(&layer, Ask::Read(2000), down()).await.is_err());
    }

    #[tokio::test]
    async fn a_healthy_call_writes_only_when_the_entry_is_older_than_the_refresh_age() {
        let (layer, hand) = layer();
        for _ in 0..10 {
            call(&layer, Ask::Read(1), up(1)).await.unwrap();
            hand.advance(SECOND / 10);
        }
        assert_eq!(layer.cache().snapshot().written, 1);
        call(&layer, Ask::Read(1), up(2)).await.unwrap();
        assert_eq!(layer.cache().snapshot().written, 2);
        let answer = call(&layer, Ask::Read(1), down()).await.unwrap();
        assert_eq!(answer.value, 2);
    }

    #[tokio::test]
    async fn a_stampede_on_a_cold_key_is_written_once() {
        /// Counts its clones.
        struct Counted(Arc<AtomicUsize>);

        impl Clone for Counted {
            fn clone(&self) -> Self {
                self.0.fetch_add(1, Ordering::Relaxed);
                Self(Arc::clone(&self.0))
            }
        }

        impl MarkStale for Counted {
            fn mark_stale(self, _: Staleness) -> Self {
                panic!("nothing failed")
            }
        }

        let (clock, _hand) = Clock::manual();
        let config = CachedConfig::new("x", |id: &u32| Some(Key::of(id))).clock(clock);
        let layer = FallbackLayer::cached(config).unwrap();
        let clones = Arc::new(AtomicUsize::new(0));
        let (open, gate) = tokio::sync::watch::channel(false);
        let counted = Arc::clone(&clones);
        let service = layer.layer(service_fn(move |_: u32| {
            let (mut gate, clones) = (gate.clone(), Arc::clone(&counted));
            async move {
                gate.wait_for(|open| *open).await?;
                Ok::<_, BoxError>(Counted(clones))
            }
        }));
        let calls: Vec<_> = (0..1000).map(|_| tokio::spawn(service.clone().oneshot(1))).collect();
        tokio::task::yield_now().await;
        open.send(true).unwrap();
        for call in calls {
            call.await.unwrap().unwrap();
        }
        assert_eq!(clones.load(Ordering::Relaxed), 1);
        assert_eq!(layer.cache().snapshot().written, 1);
    }

    #[tokio::test]
    async fn a_call_dropped_while_it_was_due_leaves_the_refresh_to_the_next() {
        let (layer, hand) = layer();
        call(&layer, Ask::Read(1), up(1)).await.unwrap();
        hand.advance(SECOND * 5);
        let hung = layer.layer(service_fn(|_: Ask| pending::<Reply>()));
        let mut hung = Box::pin(hung.oneshot(Ask::Read(1)));
        let mut cx = Context::from_waker(noop_waker_ref());
        assert!(hung.as_mut().poll(&mut cx).is_pending());
        drop(hung);
        call(&layer, Ask::Read(1), up(2)).await.unwrap();
        let answer = call(&layer, Ask::Read(1), down()).await.unwrap();
        assert_eq!(answer.value, 2);
    }

    #[tokio::test]
    async fn a_panic_while_keeping_puts_the_refresh_off_and_wedges_nothing() {
        /// Panics the first time it is cloned.
        struct Bomb(Arc<AtomicUsize>);

        impl Clone for Bomb {
            fn clone(&self) -> Self {
                assert!(self.0.fetch_add(1, Ordering::Relaxed) > 0, "boom");
                Self(Arc::clone(&self.0))
            }
        }

        impl MarkStale for Bomb {
            fn mark_stale(self, _: Staleness) -> Self {
                self
            }
        }

        let (clock, hand) = Clock::manual();
        let config = CachedConfig::new("x", |id: &u32| Some(Key::of(id))).clock(clock);
        let layer = FallbackLayer::cached(config).unwrap();
        let clones = Arc::new(AtomicUsize::new(0));
        let service = layer
            .layer(service_fn(move |_: u32| ready(Ok::<_, BoxError>(Bomb(Arc::clone(&clones))))));
        let call = tokio::spawn(service.clone().oneshot(1));
        assert!(call.await.err().unwrap().is_panic());
        service.clone().oneshot(1).await.map(drop).unwrap();
        assert_eq!(layer.cache().snapshot().written, 0, "put off");
        hand.advance(SECOND);
        service.oneshot(1).await.map(drop).unwrap();
        assert_eq!(layer.cache().snapshot().written, 1);
    }

    /// A call that began at once and whose answer is sent later.
    fn slow(
        layer: &Layered,
    ) -> (tokio::sync::oneshot::Sender<Answer<u32>>, tokio::task::JoinHandle<Reply>) {
        let (send, receive) = tokio::sync::oneshot::channel::<Answer<u32>>();
        let mut receive = Some(receive);
        let service = layer.layer(service_fn(move |_: Ask| {
            let receive = receive.take().unwrap();
            async move { Ok::<_, BoxError>(receive.await?) }
        }));
        (send, tokio::spawn(service.oneshot(Ask::Read(1))))
    }

    #[tokio::test]
    async fn a_slow_call_that_was_overtaken_does_not_replace_the_newer_answer() {
        let (layer, hand) = layer();
        let (send, overtaken) = slow(&layer);
        tokio::task::yield_now().await;
        hand.advance(SECOND * 10);
        call(&layer, Ask::Read(1), up(2)).await.unwrap();
        send.send(Answer::fresh(1)).unwrap();
        assert_eq!(overtaken.await.unwrap().unwrap().value, 1);
        let answer = call(&layer, Ask::Read(1), down()).await.unwrap();
        assert_eq!(answer.value, 2);
    }

    #[tokio::test]
    async fn the_age_counts_from_when_the_call_began() {
        let (layer, hand) = layer();
        let (send, call_of_8_s) = slow(&layer);
        tokio::task::yield_now().await;
        hand.advance(SECOND * 8);
        send.send(Answer::fresh(1)).unwrap();
        call_of_8_s.await.unwrap().unwrap();
        let answer = call(&layer, Ask::Read(1), down()).await.unwrap();
        let age = answer.stale.unwrap().age;
        assert_eq!(age, SECOND * 8, "never told too young");
    }

    #[tokio::test]
    async fn after_the_clock_jumped_nothing_of_unknown_age_is_given() {
        let (layer, hand) = layer();
        call(&layer, Ask::Read(1), up(1)).await.unwrap();
        hand.set_back(SECOND * 3600);
        assert!(call(&layer, Ask::Read(1), down()).await.is_err());
        call(&layer, Ask::Read(1), up(2)).await.unwrap();
        let answer = call(&layer, Ask::Read(1), down()).await.unwrap();
        assert_eq!(answer.value, 2, "kept anew, an hour before the last");
        hand.advance(Duration::MAX);
        assert!(call(&layer, Ask::Read(1), down()).await.is_err());
        call(&layer, Ask::Read(1), up(3)).await.unwrap();
        let answer = call(&layer, Ask::Read(1), down()).await.unwrap();
        assert_eq!(answer.value, 3);
    }

    #[tokio::test]
    async fn bytes_are_bounded_and_what_is_too_large_is_counted() {
        let (clock, _hand) = Clock::manual();
        let config = CachedConfig::new("x", |request: &(u32, usize)| Some(Key::of(&request.0)))
            .weigh(|answer: &Answer<Vec<u8>>| answer.value.capacity())
            .capacity(1 << 20)
            .shards(1)
            .max_entry(64 << 10)
            .clock(clock);
        let layer = FallbackLayer::cached(config).unwrap();
        let mut service = layer.layer(service_fn(|(_, size): (u32, usize)| {
            ready(Ok::<_, BoxError>(Answer::fresh(vec![0_u8; size])))
        }));
        for id in 0..2000 {
            let request = (id, 64 << 10);
            service.ready().await.unwrap().call(request).await.unwrap();
        }
        let seen = layer.cache().snapshot();
        assert!(seen.bytes <= 1 << 20 && seen.entries >= 10, "{seen:?}");
        let request = (9999, (64 << 10) + 1);
        service.ready().await.unwrap().call(request).await.unwrap();
        assert_eq!(layer.cache().snapshot().too_large, 1);
    }

    #[tokio::test]
    async fn keys_that_are_seen_once_do_not_flush_those_that_are_asked_for_often() {
        let (config, _hand) = config();
        let layer = Layered::cached(config.capacity(1 << 16).shards(1)).unwrap();
        call(&layer, Ask::Read(7), up(7)).await.unwrap();
        for id in 1000..20_000 {
            if id % 50 == 0 {
                call(&layer, Ask::Read(7), down()).await.unwrap();
            }
            call(&layer, Ask::Read(id), up(id)).await.unwrap();
        }
        let answer = call(&layer, Ask::Read(7), down()).await.unwrap();
        assert_eq!(answer.value, 7);
    }

    #[tokio::test]
    async fn the_share_of_stale_answers_is_told_and_alerts_once() {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&heard);
        let (config, _hand) = config();
        let config = config
            .share_window(100)
            .stale_alert(0.5)
            .observe(move |event: &Event| log.lock().unwrap().push(event.kind.clone()));
        let layer = Layered::cached(config).unwrap();
        let cache = layer.cache();
        call(&layer, Ask::Read(1), up(1)).await.unwrap();
        assert_eq!(cache.snapshot().stale_share(), None);
        for _ in 0..80 {
            call(&layer, Ask::Read(1), down()).await.unwrap();
        }
        assert_eq!(*heard.lock().unwrap(), [Kind::StaleShare(true)]);
        assert_eq!(cache.snapshot().stale_share().unwrap().ppm(), 1_000_000);
        assert!(cache.snapshot().alerting);
        for _ in 0..400 {
            call(&layer, Ask::Read(1), up(1)).await.unwrap();
        }
        let both = [Kind::StaleShare(true), Kind::StaleShare(false)];
        assert_eq!(*heard.lock().unwrap(), both);
        let seen = cache.snapshot();
        assert_eq!((seen.stale, seen.alerting), (80, false));
        assert!(seen.stale_share().unwrap().ppm() < 100_000, "{seen:?}");
        assert_eq!(seen.recent_fresh() + seen.recent_stale, seen.recent);
    }

    #[tokio::test]
    async fn an_operator_changes_limits_and_drops_entries_while_calls_run() {
        let (layer, hand) = layer();
        let cache = layer.cache();
        for id in 0..3 {
            call(&layer, Ask::Read(id), up(id)).await.unwrap();
        }
        hand.advance(SECOND * 30);
        cache.reconfigure(|set| set.max_stale(SECOND * 20)).unwrap();
        assert!(call(&layer, Ask::Read(1), down()).await.is_err());
        cache.reconfigure(|set| set.max_stale(SECOND * 40)).unwrap();
        let answer = call(&layer, Ask::Read(1), down()).await;
        assert!(answer.is_ok(), "what is kept stays");

        assert!(cache.remove(Key::of(&1_u32)));
        assert!(!cache.remove(Key::of(&1_u32)));
        assert!(call(&layer, Ask::Read(1), down()).await.is_err());
        call(&layer, Ask::Read(1), up(5)).await.unwrap();
        let answer = call(&layer, Ask::Read(1), down()).await.unwrap();
        assert_eq!(answer.value, 5);

        cache.clear();
        assert_eq!(cache.snapshot().entries, 0);
        assert!(call(&layer, Ask::Read(2), down()).await.is_err());
    }

    #[test]
    fn every_absurd_setting_is_a_typed_error() {
        let field = |change: fn(Config) -> Config| {
            let layer = Layered::cached(change(config().0));
            layer.unwrap_err().field()
        };
        assert_eq!(field(|c| c.max_stale(Duration::ZERO)), "max_stale");
        assert_eq!(field(|c| c.max_stale(Duration::MAX)), "max_stale");
        assert_eq!(field(|c| c.refresh_age(SECOND * 61)), "refresh_age");
        assert_eq!(field(|c| c.refresh_age(Duration::MAX)), "refresh_age");
        for share in [0.0, -1.0, 1.1, f64::NAN, f64::INFINITY] {
            let error = Layered::cached(config().0.stale_alert(share)).unwrap_err();
            assert_eq!(error.field(), "stale_alert", "{share}");
        }
        assert_eq!(field(|c| c.share_window(0)), "share_window");
        assert_eq!(field(|c| c.share_window(u32::MAX)), "share_window");
        assert_eq!(field(|c| c.capacity(0)), "capacity");
        assert_eq!(field(|c| c.capacity(u64::MAX)), "capacity");
        assert_eq!(field(|c| c.shards(0)), "shards");
        assert_eq!(field(|c| c.shards(usize::MAX)), "shards");
        assert_eq!(field(|c| c.max_entry(0)), "max_entry");
        assert_eq!(field(|c| c.max_entry(2 << 20)), "max_entry", "a whole shard");
        assert_eq!(field(|c| c.max_entry(usize::MAX)), "max_entry");
    }

    #[test]
    fn cached_layers_and_handles_are_send_and_sync() {
        assert_impl_all!(Layered: Send, Sync, Clone);
        assert_impl_all!(CachedHandle<Answer<u32>>: Send, Sync, Clone, std::fmt::Debug);
    }

    #[tokio::test]
    async fn responses_that_are_not_send_are_kept_on_their_thread() {
        use std::rc::Rc;
        let config = CachedConfig::new("x", |id: &u32| Some(Key::of(id)));
        let layer = FallbackLayer::cached(config).unwrap();
        let mut up = true;
        let mut service = layer.layer(service_fn(move |id: u32| {
            let answer = std::mem::take(&mut up).then(|| Answer::fresh(Rc::new(id)));
            ready(answer.ok_or_else(|| BoxError::from("down")))
        }));
        for stale in [false, true] {
            let answer = service.ready().await.unwrap().call(1).await.unwrap();
            assert_eq!((*answer.value, answer.is_stale()), (1, stale));
        }
    }

    /// Counts what its own thread allocates.
    struct Counting;

    thread_local! {
        static ALLOCATIONS: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
    }

    // SAFETY: the system's allocator does all the work; counting allocates nothing.
    unsafe impl std::alloc::GlobalAlloc for Counting {
        unsafe fn alloc(&self, layout: std::alloc::Layout) -> *mut u8 {
            ALLOCATIONS.with(|count| count.set(count.get() + 1));
            // SAFETY: as the caller of this.
            unsafe { std::alloc::System.alloc(layout) }
        }

        unsafe fn dealloc(&self, at: *mut u8, layout: std::alloc::Layout) {
            // SAFETY: as the caller of this.
            unsafe { std::alloc::System.dealloc(at, layout) }
        }
    }

    #[global_allocator]
    static COUNTING: Counting = Counting;

    #[test]
    fn neither_a_healthy_call_nor_a_stale_answer_allocates() {
        let (config, _hand) = config();
        let config = config.classify(|result: Result<&Answer<u32>, &Error<()>>| match result {
            Ok(_) => Outcome::Success,
            Err(_) => Outcome::Failure,
        });
        let layer = FallbackLayer::cached(config).unwrap();
        let up = std::cell::Cell::new(true);
        let mut service = layer.layer(service_fn(|_: Ask| {
            let answer = up.get().then_some(Answer::fresh(1));
            ready(answer.ok_or(Error::Inner(())))
        }));
        let mut cx = Context::from_waker(noop_waker_ref());
        let mut call = |ask| {
            assert!(service.poll_ready(&mut cx).is_ready());
            let mut call = std::pin::pin!(service.call(ask));
            call.as_mut().poll(&mut cx)
        };
        assert!(call(Ask::Read(1)).is_ready(), "kept, which allocates");
        for (healthy, ask) in [
            (true, Ask::Read(1)),
            (true, Ask::Charge),
            (false, Ask::Read(1)),
            (false, Ask::Read(2)),
            (false, Ask::Charge),
        ] {
            up.set(healthy);
            let before = ALLOCATIONS.get();
            for _ in 0..1000 {
                assert!(call(ask).is_ready());
            }
            assert_eq!(ALLOCATIONS.get() - before, 0, "{healthy} {ask:?}");
        }
        assert_eq!(layer.cache().snapshot().stale, 1000);
    }

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Good(u32, u32),
        Bad(u32),
        Wait(u64),
        Forget(u32),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0..4_u32, any::<u32>()).prop_map(|(id, value)| Step::Good(id, value)),
            3 => (0..4_u32).prop_map(Step::Bad),
            2 => (0..40_000_u64).prop_map(Step::Wait),
            1 => (0..4_u32).prop_map(Step::Forget),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]

        /// What is given is what a naive map holds, exactly as old as it says.
        #[test]
        fn it_equals_a_naive_map(steps in prop::collection::vec(step(), 0..60)) {
            let (config, hand) = config();
            let layer = Layered::cached(config.capacity(1 << 20).shards(1)).unwrap();
            // Per key: the value, and when it was kept, in ms.
            let (mut naive, mut now) = (HashMap::<u32, (u32, u64)>::new(), 0_u64);
            let run = |ask, reply| futures::executor::block_on(call(&layer, ask, reply));
            for step in steps {
                match step {
                    Step::Good(id, value) => {
                        let age = naive.get(&id).map(|(_, at)| now - at);
                        // Time is coarse to 1.05 ms: just below the refresh age either will do.
                        prop_assume!(!matches!(age, Some(998..1000)));
                        run(Ask::Read(id), up(value)).unwrap();
                        if age.is_none_or(|age| age >= 1000) {
                            naive.insert(id, (value, now));
                        }
                    }
                    Step::Bad(id) => {
                        let given = run(Ask::Read(id), down()).ok();
                        let held = naive.get(&id).filter(|(_, at)| now - at <= 60_000);
                        let expected = held.map(|(value, at)| {
                            (*value, Duration::from_millis(now - at))
                        });
                        let given = given.map(|a| (a.value, a.stale.unwrap().age));
                        prop_assert_eq!(given, expected);
                    }
                    Step::Wait(ms) => {
                        hand.advance(Duration::from_millis(ms));
                        now += ms;
                    }
                    Step::Forget(id) => {
                        let had = layer.cache().remove(Key::of(&id));
                        prop_assert_eq!(had, naive.remove(&id).is_some());
                    }
                }
            }
        }
    }

    #[cfg(feature = "test-util")]
    #[tokio::test(start_paused = true)]
    async fn a_users_test_with_paused_time_moves_the_ages() {
        let config = CachedConfig::new("x", key as fn(&Ask) -> Option<Key>);
        let layer = Layered::cached(config).unwrap();
        call(&layer, Ask::Read(1), up(1)).await.unwrap();
        tokio::time::advance(SECOND * 1_199).await;
        let answer = call(&layer, Ask::Read(1), down()).await.unwrap();
        assert_eq!(answer.stale.unwrap().age, SECOND * 1_199);
        tokio::time::advance(SECOND * 2).await;
        assert!(call(&layer, Ask::Read(1), down()).await.is_err());
    }

    #[test]
    fn under_load_from_many_threads_no_answer_is_anothers() {
        let (config, _hand) = config();
        let layer = Layered::cached(config.capacity(1 << 16).shards(2)).unwrap();
        std::thread::scope(|threads| {
            for thread in 0..4_u32 {
                let layer = &layer;
                threads.spawn(move || {
                    for i in 0..5000_u32 {
                        let id = i.wrapping_mul(2_654_435_761).wrapping_add(thread) % 500;
                        let reply = if i % 3 == 0 { down() } else { up(id) };
                        let answer = futures::executor::block_on(call(layer, Ask::Read(id), reply));
                        if let Ok(answer) = answer {
                            assert_eq!(answer.value, id);
                        }
                    }
                });
            }
        });
        let seen = layer.cache().snapshot();
        assert!(seen.bytes <= 1 << 16);
        assert!(seen.stale > 0);
    }
}
