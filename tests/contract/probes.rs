//! The questions. Each takes a layer that never refuses under this load, over an inner that panics
//! unless the instance that is called is the one that was readied.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::join_all;
use seawall::error::{Carry, Error, Reason};
use seawall::stale::Answer;
use tokio::runtime::{Builder, Runtime};
use tokio_test::{assert_pending, assert_ready, assert_ready_err, assert_ready_ok, task};
use tower::balance::p2c::Balance;
use tower::buffer::Buffer;
use tower::discover::ServiceList;
use tower::load::Constant;
use tower::util::BoxCloneSyncService;
use tower::{Layer, Service, ServiceExt};

use crate::inner::{Act, Acting, Err, Fault, NotSend, Readiness, Req, Res, Script, Strict};
use crate::layers::{Subject, WhilePending};

/// A service that a layer made of a [`Strict`] or a [`NotSend`].
pub(crate) trait Client: Service<Req, Response = Res, Error = Err> + Clone {}
impl<C: Service<Req, Response = Res, Error = Err> + Clone> Client for C {}

/// A layer that can be probed.
pub(crate) trait Probed: Layer<Strict, Service = Self::Made> {
    type Made: Client<Future = Self::Call> + Send + Sync + 'static;
    type Call: Future<Output = Result<Res, Err>> + Send + 'static;
}

impl<L> Probed for L
where
    L: Layer<Strict>,
    L::Service: Client + Send + Sync + 'static,
    <L::Service as Service<Req>>::Future: Send + 'static,
{
    type Made = L::Service;
    type Call = <L::Service as Service<Req>>::Future;
}

fn client<L: Probed>(subject: &Subject<L>) -> (L::Made, Arc<Script>) {
    let (inner, script) = Strict::new();
    (subject.layer.layer(inner), script)
}

/// Runs in virtual time, on one thread.
fn run<F: Future>(future: F) -> F::Output {
    runtime().block_on(future)
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_time().start_paused(true).build().unwrap()
}

#[track_caller]
fn assert_nothing_is_owed<L>(subject: &Subject<L>, script: &Script, when: &str) {
    subject.assert_gauges_are_zero(when);
    assert_eq!(script.live(), 0, "inner futures {when}");
}

async fn assert_still_works(client: &impl Client, script: &Script) {
    script.act(Act::Answer(1));
    let answer = client.clone().oneshot(7).await;
    assert_eq!(answer, Ok(Answer::fresh(7)));
}

pub(crate) fn passes_answers_and_errors_through<L: Probed>(subject: Subject<L>) {
    let (mut client, script) = client(&subject);
    run(async {
        for pending in 0..3 {
            script.act(Act::Answer(pending));
            let answer = client.ready().await.unwrap().call(7).await;
            assert_eq!(answer, Ok(Answer::fresh(7)));
            script.act(Act::Fail(pending));
            let error = client.ready().await.unwrap().call(8).await;
            assert_eq!(error, Err(Error::Inner(Fault)));
        }
    });
    assert_eq!(script.calls(), 6);
    assert_nothing_is_owed(&subject, &script, "after answers and errors");
}

pub(crate) fn calls_only_the_instance_that_was_readied<L: Probed>(subject: Subject<L>) {
    let (mut client, script) = client(&subject);
    run(async {
        // Asked twice, called once.
        client.ready().await.unwrap();
        client.ready().await.unwrap().call(1).await.unwrap();
        // A clone made of a readied one must be readied for itself.
        client.ready().await.unwrap();
        let mut copy = client.clone();
        copy.ready().await.unwrap().call(2).await.unwrap();
        client.call(3).await.unwrap();
        // The idiom that takes the readied one and leaves a clone.
        client.ready().await.unwrap();
        let left = client.clone();
        let mut readied = std::mem::replace(&mut client, left);
        readied.call(4).await.unwrap();
        assert_eq!(script.calls(), 4);
        // What was pending at first: the instance that waited is the one called.
        if subject.while_pending != WhilePending::AnswersItself {
            script.readiness(Readiness::Pending);
            let mut waiting = task::spawn(client.clone().oneshot(5));
            assert_pending!(waiting.poll());
            script.readiness(Readiness::Ready);
            waiting.await.unwrap();
            assert_eq!(script.calls(), 5);
        }
    });
}

pub(crate) fn readiness_is_the_inners_or_waited_for_in_the_call<L: Probed>(subject: Subject<L>) {
    let (mut client, script) = client(&subject);
    script.readiness(Readiness::Pending);
    let mut caller = task::spawn(());
    let polled = caller.enter(|cx, _| client.poll_ready(cx));
    match subject.while_pending {
        WhilePending::IsPending => {
            assert_pending!(polled);
            subject.assert_gauges_are_zero("while it isn't ready");
            script.readiness(Readiness::Ready);
            assert!(caller.is_woken());
            assert_ready_ok!(caller.enter(|cx, _| client.poll_ready(cx)));
        }
        WhilePending::WaitsInCall => run(async {
            assert_ready_ok!(polled);
            let mut call = task::spawn(client.call(7));
            assert_pending!(call.poll());
            assert_eq!(script.calls(), 0, "nothing is sent before it is ready");
            script.readiness(Readiness::Ready);
            assert!(call.is_woken());
            assert_ready_ok!(call.poll());
        }),
        WhilePending::AnswersItself => {
            assert_ready_ok!(polled);
            let mut call = task::spawn(client.call(7));
            let error = assert_ready_err!(call.poll());
            let rejected = error.rejected().expect("it had no answer");
            assert_eq!((rejected.reason, rejected.sent()), (Reason::NotReady, false));
            assert_eq!(script.calls(), 0);
        }
    }
}

pub(crate) fn an_error_of_poll_ready_reaches_the_caller<L: Probed>(subject: Subject<L>) {
    let (mut client, script) = client(&subject);
    script.readiness(Readiness::Error);
    run(async {
        let error = match client.ready().await {
            Ok(ready) => {
                assert_eq!(subject.while_pending, WhilePending::WaitsInCall, "it was not ready");
                ready.call(7).await.unwrap_err()
            }
            Err(error) => {
                assert_ne!(subject.while_pending, WhilePending::WaitsInCall, "it belongs there");
                error
            }
        };
        assert_eq!(error, Error::Inner(Fault));
    });
    assert_eq!(script.calls(), 0);
    assert_nothing_is_owed(&subject, &script, "after an error of poll_ready");
    script.readiness(Readiness::Ready);
    run(assert_still_works(&client, &script));
}

pub(crate) fn readied_clones_hold_nothing_and_may_be_dropped_uncalled<L: Probed>(
    subject: Subject<L>,
) {
    let (client, script) = client(&subject);
    run(async {
        let mut readied = Vec::new();
        // More than any limit here lets in.
        for _ in 0..10_001 {
            let mut copy = client.clone();
            copy.ready().await.unwrap();
            readied.push(copy);
        }
        assert_nothing_is_owed(&subject, &script, "while readied clones are held");
        drop(readied);
        assert_still_works(&client, &script).await;
    });
    assert_nothing_is_owed(&subject, &script, "after all");
}

pub(crate) fn dropped_at_any_await_point_leaves_every_gauge_at_zero<L: Probed>(
    subject: Subject<L>,
) {
    const PENDING: u32 = 3;
    let (mut client, script) = client(&subject);
    run(async {
        for act in [Act::Answer(PENDING), Act::Fail(PENDING)] {
            for polls in 0..=PENDING + 1 {
                script.act(act);
                let mut call = task::spawn(client.ready().await.unwrap().call(7));
                for poll in 1..=polls {
                    assert_eq!(call.poll().is_ready(), poll > PENDING);
                }
                drop(call);
                let when = format!("dropped after {polls} polls");
                assert_nothing_is_owed(&subject, &script, &when);
            }
        }
        // While it waits for readiness, wherever that is.
        for polls in 0..2 {
            script.readiness(Readiness::Pending);
            let mut call = task::spawn(client.clone().oneshot(7));
            for _ in 0..polls {
                let answers = subject.while_pending == WhilePending::AnswersItself;
                assert_eq!(call.poll().is_ready(), answers);
            }
            drop(call);
            assert_nothing_is_owed(&subject, &script, "dropped before it was ready");
            script.readiness(Readiness::Ready);
        }
        assert_still_works(&client, &script).await;
    });
}

pub(crate) fn an_ended_call_owes_nothing_while_its_future_is_kept<L: Probed>(subject: Subject<L>) {
    let (mut client, script) = client(&subject);
    run(async {
        for act in [Act::Answer(1), Act::Fail(1)] {
            script.act(act);
            let mut call = task::spawn(client.ready().await.unwrap().call(7));
            assert_pending!(call.poll());
            let _ = assert_ready!(call.poll());
            subject.assert_gauges_are_zero("while the future of an ended call is kept");
        }
    });
}

pub(crate) fn a_panic_in_call_leaves_every_gauge_at_zero<L: Probed>(subject: Subject<L>) {
    let (mut client, script) = client(&subject);
    run(async {
        script.act(Act::PanicInCall);
        client.ready().await.unwrap();
        let caught = catch_unwind(AssertUnwindSafe(|| client.call(7)));
        assert!(caught.is_err(), "it is not swallowed");
        assert_nothing_is_owed(&subject, &script, "after a panic in call");

        // And where the call is made late, in the future.
        if subject.while_pending == WhilePending::WaitsInCall {
            script.readiness(Readiness::Pending);
            let mut call = task::spawn(client.ready().await.unwrap().call(7));
            assert_pending!(call.poll());
            script.readiness(Readiness::Ready);
            assert!(catch_unwind(AssertUnwindSafe(|| call.poll())).is_err());
            drop(call);
            assert_nothing_is_owed(&subject, &script, "after a panic in a late call");
        }
        assert_still_works(&client, &script).await;
    });
}

pub(crate) fn a_panic_in_poll_leaves_every_gauge_at_zero<L: Probed>(subject: Subject<L>) {
    let (mut client, script) = client(&subject);
    run(async {
        for polls in 0..3 {
            script.act(Act::PanicInPoll(polls));
            let mut call = task::spawn(client.ready().await.unwrap().call(7));
            for _ in 0..polls {
                assert_pending!(call.poll());
            }
            assert!(catch_unwind(AssertUnwindSafe(|| call.poll())).is_err());
            drop(call);
            assert_nothing_is_owed(&subject, &script, "after a panic in poll");
        }
        // As a task: the panic ends there.
        script.act(Act::PanicInPoll(1));
        let lost = tokio::spawn(client.clone().oneshot(7)).await;
        assert!(lost.unwrap_err().is_panic());
        assert_nothing_is_owed(&subject, &script, "after a task panicked");
        assert_still_works(&client, &script).await;
    });
}

pub(crate) fn works_with_a_clone_for_each_request<L: Probed>(subject: Subject<L>) {
    let (client, script) = client(&subject);
    script.act(Act::Answer(2));
    let calls = (0..100).map(|request| client.clone().oneshot(request));
    let answers = run(join_all(calls));
    for (request, answer) in (0..).zip(answers) {
        assert_eq!(answer, Ok(Answer::fresh(request)));
    }
    assert_nothing_is_owed(&subject, &script, "after a hundred clones");
}

pub(crate) fn works_under_a_buffer<L: Probed>(subject: Subject<L>) {
    let (client, script) = client(&subject);
    script.act(Act::Answer(2));
    run(async {
        let buffer = Buffer::new(client, 8);
        let calls = (0..100).map(|request| buffer.clone().oneshot(request));
        for (request, answer) in (0..).zip(join_all(calls).await) {
            assert_eq!(answer.unwrap(), Answer::fresh(request));
        }
        // An answer that is an error does not end the buffer's worker.
        script.act(Act::Fail(0));
        assert!(buffer.clone().oneshot(1_000).await.is_err());
        script.act(Act::Answer(0));
        assert!(buffer.clone().oneshot(1_000).await.is_ok());
    });
    assert_nothing_is_owed(&subject, &script, "under a buffer");
}

pub(crate) fn works_under_a_balance<L: Probed>(subject: Subject<L>) {
    let ((one, one_script), (other, other_script)) = (client(&subject), client(&subject));
    run(async {
        let endpoints = vec![Constant::new(one, 1), Constant::new(other, 1)];
        let mut balance = Balance::new(ServiceList::new::<Req>(endpoints));
        for request in 0..100 {
            let answer = balance.ready().await.unwrap().call(request).await.unwrap();
            assert_eq!(answer, Answer::fresh(request));
        }
        let both = (one_script.calls(), other_script.calls());
        assert!(both.0 > 0 && both.1 > 0, "{both:?}");

        // A balance goes by readiness: an endpoint that isn't ready gets no call.
        if subject.while_pending == WhilePending::IsPending {
            one_script.readiness(Readiness::Pending);
            let before = one_script.calls();
            for request in 0..100 {
                let _ = balance.ready().await.unwrap().call(request).await;
            }
            // One may have been readied before it went away.
            assert!(one_script.calls() <= before + 1);
        }
    });
    assert_nothing_is_owed(&subject, &one_script, "under a balance");
    assert_nothing_is_owed(&subject, &other_script, "under a balance");
}

pub(crate) fn works_boxed_as_a_clone_sync_service<L: Probed>(subject: Subject<L>) {
    let (client, script) = client(&subject);
    let boxed = BoxCloneSyncService::new(client);
    script.act(Act::Answer(2));
    run(async {
        let task = tokio::spawn(boxed.clone().oneshot(7));
        assert_eq!(task.await.unwrap(), Ok(Answer::fresh(7)));
        assert_eq!(boxed.oneshot(8).await, Ok(Answer::fresh(8)));
    });
    assert_nothing_is_owed(&subject, &script, "boxed");
}

pub(crate) fn serves_an_inner_that_is_not_send<L>(subject: Subject<L>)
where
    L: Layer<NotSend>,
    L::Service: Client,
{
    let inner = NotSend::default();
    let client = subject.layer.layer(inner.clone());
    run(async {
        let calls = (0..3).map(|request| client.clone().oneshot(request));
        for (request, answer) in (0..).zip(join_all(calls).await) {
            assert_eq!(answer, Ok(Answer::fresh(request)));
        }
    });
    assert_eq!(inner.0.get(), 3);
    subject.assert_gauges_are_zero("after calls of one thread");
}

/// Checked by the compiler: these bounds are the test.
pub(crate) fn is_send_and_sync_when_its_inner_is<L>(_: Subject<L>)
where
    L: Layer<Strict> + Clone + Send + Sync + 'static,
    L::Service: Service<Req> + Send + Sync + 'static,
    <L::Service as Service<Req>>::Future: Send + Sync + 'static,
{
}

pub(crate) fn is_small<L: Probed>(subject: Subject<L>) {
    let service = size_of::<L::Made>() - subject.inners * size_of::<Strict>();
    assert!(service <= 16 * subject.depth, "service: {service} bytes");
    let future = size_of::<L::Call>() - size_of::<Acting>();
    let own = future.saturating_sub(subject.apart);
    assert!(own <= 64 * subject.depth, "future: {own} bytes");
}

pub(crate) fn works_without_a_runtime<L: Probed>(subject: Subject<L>) {
    let (mut client, script) = client(&subject);
    let mut ask = |request| {
        let ready = client.ready().now_or_never().expect("ready").unwrap();
        let mut call = Box::pin(ready.call(request));
        (0..3).find_map(|_| call.as_mut().now_or_never())
    };
    assert_eq!(ask(7), Some(Ok(Answer::fresh(7))), "ready at once");
    if !subject.needs_timer {
        script.act(Act::Answer(2));
        assert_eq!(ask(8), Some(Ok(Answer::fresh(8))), "pending twice");
    }
    // A runtime without timers is no worse than none.
    let timerless = Builder::new_current_thread().build().unwrap();
    script.act(Act::Answer(0));
    let answer = timerless.block_on(client.clone().oneshot(9));
    assert_eq!(answer, Ok(Answer::fresh(9)));
    assert_nothing_is_owed(&subject, &script, "without a runtime");
}

pub(crate) fn works_on_two_runtimes_at_once<L: Probed>(subject: Subject<L>) {
    let (client, script) = client(&subject);
    script.act(Act::Answer(1));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            let client = client.clone();
            scope.spawn(move || {
                run(async {
                    for request in 0..100 {
                        let answer = client.clone().oneshot(request).await;
                        assert_eq!(answer, Ok(Answer::fresh(request)));
                    }
                });
            });
        }
    });
    // A call that was begun on one and is ended by the end of the other.
    script.act(Act::Hang);
    let (one, other) = (runtime(), runtime());
    let mut call = Box::pin(client.clone().oneshot(7));
    assert!(one.block_on(async { futures::poll!(&mut call) }).is_pending());
    other.spawn(call);
    drop(other);
    drop(one);
    assert_nothing_is_owed(&subject, &script, "after both runtimes");
}

pub(crate) fn a_runtime_shut_down_with_ten_thousand_in_flight_leaks_nothing<L: Probed>(
    subject: Subject<L>,
) {
    let (client, script) = client(&subject);
    script.act(Act::Hang);
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap();
    for request in 0..10_000 {
        runtime.spawn(client.clone().oneshot(request));
    }
    runtime.block_on(async {
        while script.live() < 10_000 {
            tokio::task::yield_now().await;
        }
    });
    runtime.shutdown_timeout(Duration::from_secs(60));
    assert_nothing_is_owed(&subject, &script, "after the runtime's end");
    run(assert_still_works(&client, &script));
}
