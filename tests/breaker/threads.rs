//! Many threads on one circuit.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};

use futures::FutureExt;
use seawall::event::Circuit;
use tower::{Service, ServiceExt};

use crate::rig::{Inner, MS, Rig, SEC, answers, does, failure, rig};

type Client = seawall::breaker::CircuitBreaker<Inner>;

/// One call that ends at once; was it let through?
fn passes(client: &mut Client, answer: Result<u32, seawall::BoxError>) -> bool {
    let sent = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&sent);
    client.ready().now_or_never().unwrap().unwrap();
    let _ = client
        .call(does(async move {
            count.fetch_add(1, Ordering::Relaxed);
            answer
        }))
        .now_or_never()
        .unwrap();
    sent.load(Ordering::Relaxed) == 1
}

/// The same on so many threads at once; gives what each of them gave.
fn together<T: Send>(rig: &Rig, threads: usize, part: impl Fn(Client) -> T + Sync) -> Vec<T> {
    let barrier = Barrier::new(threads);
    std::thread::scope(|scope| {
        let parts: Vec<_> = (0..threads)
            .map(|_| {
                let client = rig.service.clone();
                let (barrier, part) = (&barrier, &part);
                scope.spawn(move || {
                    barrier.wait();
                    part(client)
                })
            })
            .collect();
        parts.into_iter().map(|part| part.join().unwrap()).collect()
    })
}

#[test]
fn threads_that_all_find_it_sick_make_one_transition() {
    for timed in [false, true] {
        for _ in 0..200 {
            let rig = rig(|c| {
                let c = if timed { c.time_window(10 * SEC) } else { c.count_window(8) };
                c.min_calls(8)
            });
            together(&rig, 4, |mut client| {
                for _ in 0..8 {
                    passes(&mut client, failure());
                }
            });
            assert_eq!((rig.state(), rig.log.len()), (Circuit::Open, 1));
        }
    }
}

#[test]
fn a_herd_of_threads_at_recovery_sends_no_more_than_the_probes() {
    for probes in [1, 3] {
        for _ in 0..100 {
            let mut rig = rig(|c| c.count_window(4).probes(probes));
            rig.open_and_wait();
            let kept = together(&rig, 4, |mut client| {
                (0..20)
                    .filter_map(|_| {
                        client.ready().now_or_never().unwrap().unwrap();
                        let mut call = Box::pin(client.call(does(std::future::pending())));
                        call.as_mut().now_or_never().is_none().then_some(call)
                    })
                    .collect::<Vec<_>>()
            });
            assert_eq!(kept.iter().map(Vec::len).sum::<usize>(), probes);
            let states: Vec<_> = rig.log.take().iter().map(|step| step.to).collect();
            assert_eq!(states, [Circuit::Open, Circuit::HalfOpen]);
            drop(kept);
            // Every seat came back.
            for _ in 0..probes {
                if rig.state() == Circuit::HalfOpen {
                    rig.ok();
                }
            }
            assert_eq!(rig.state(), Circuit::Closed);
        }
    }
}

#[test]
fn transitions_come_one_after_the_other_whatever_threads_and_operators_do() {
    let rig = rig(|c| {
        c.count_window(10)
            .min_calls(3)
            .cool_down(MS)
            .max_cool_down(4 * MS)
            .probes(2)
            .probe_lease(20 * MS)
            .ramp([0.3, 0.6])
            .ramp_step(MS)
            .slow_calls(10 * MS, 0.5)
    });
    let seeds = AtomicU64::new(1);
    together(&rig, 4, |mut client| {
        let mut random = seeds.fetch_add(0x9E37_79B9, Ordering::Relaxed);
        let mut held = Vec::new();
        for _ in 0..20_000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            match random >> 33 & 63 {
                0 => rig.handle.force_open(),
                1 => rig.handle.disable(),
                2 => rig.handle.force_close(),
                3..=5 => rig.handle.reset(),
                6..=20 => rig.wait(MS / 2),
                21..=24 => rig.handle.tick(),
                25..=30 => {
                    client.ready().now_or_never().unwrap().unwrap();
                    held.push(Box::pin(client.call(does(std::future::pending()))));
                }
                31..=34 => drop(held.pop()),
                35 => rig
                    .handle
                    .reconfigure(|c| c.slow_calls(((random >> 40) % 20 + 5) as u32 * MS, 0.5))
                    .unwrap(),
                36..=48 => drop(client.call(answers(failure())).now_or_never()),
                _ => {
                    client.ready().now_or_never().unwrap().unwrap();
                    let answer = if random >> 50 & 1 == 0 { Ok(0) } else { failure() };
                    let _ = client.call(answers(answer)).now_or_never();
                }
            }
        }
        drop(held);
    });
    // Each transition was told once; each generation began once, but for the steps of a ramp.
    let mut told = rig.log.take();
    told.sort_by_key(|step| step.generation);
    let mut last = 0;
    for step in &told {
        let held = step.why == seawall::event::Why::RampHeld;
        assert!(step.generation == last + 1 || (held && step.generation == last), "{step:?}");
        last = step.generation;
    }
    assert_eq!(last, rig.handle.snapshot().generation);
    // And nothing is left behind.
    assert_eq!(rig.handle.snapshot().in_time, 0);
    rig.handle.reset();
    let counts = rig.counts();
    assert_eq!((counts.total, counts.failures, counts.slow), (0, 0, 0));
}

#[test]
fn the_counts_of_many_threads_equal_those_of_one() {
    for timed in [false, true] {
        let rig = rig(|c| {
            let c = if timed { c.time_window(HOUR) } else { c.count_window(4_000) };
            c.min_calls(4_000).failure_ratio(1.0)
        });
        together(&rig, 4, |mut client| {
            for i in 0..1_000 {
                assert!(passes(&mut client, if i % 4 == 0 { failure() } else { Ok(0) }));
            }
        });
        assert_eq!((rig.counts().total, rig.counts().failures), (4_000, 1_000));
    }
}

const HOUR: std::time::Duration = crate::rig::HOUR;
