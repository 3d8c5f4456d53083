//! Saturation, as an observer hears of it: of a bulkhead, and of any pool.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use seawall::bulkhead::{Bulkhead, BulkheadConfig, BulkheadLayer, Gauge, GaugeConfig, Vegas};
use seawall::clock::{Clock, ManualClock};
use seawall::error::{BoxError, Room};
use seawall::event::{Event, Kind, PoolUse};
use tower::{Layer, Service, service_fn};

const LOOK: Duration = Duration::from_millis(100);

#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<(&'static str, PoolUse)>>>);

impl Heard {
    fn hear(&self) -> impl Fn(&Event) + Send + Sync + 'static {
        let heard = Arc::clone(&self.0);
        move |event| {
            let told = match event.kind {
                Kind::Saturated(usage) => ("saturated", usage),
                Kind::Exhausted(usage) => ("exhausted", usage),
                Kind::Cleared(usage) => ("cleared", usage),
                _ => return,
            };
            heard.lock().unwrap().push(told);
        }
    }

    fn names(&self) -> Vec<&'static str> {
        self.0.lock().unwrap().iter().map(|(name, _)| *name).collect()
    }
}

#[test]
fn a_gauge_watches_any_pool_by_itself() {
    let (clock, hand) = Clock::manual();
    let (heard, room) = (Heard::default(), Arc::new(Mutex::new(None)));
    let noted = Arc::clone(&room);
    let config = GaugeConfig::new("database").clock(clock).observe(heard.hear());
    let pool = Gauge::new(config.observe(move |event: &Event| {
        *noted.lock().unwrap() = Some((event.room, event.name));
    }));
    let read = |used, looks| {
        for _ in 0..looks {
            pool.clone().read(used, 10);
            hand.advance(LOOK);
            pool.read(used, 10);
        }
    };
    read(8, 500);
    assert!(!pool.is_saturated(), "80 % isn't more than 80 %");
    read(9, 1);
    assert!(pool.is_saturated());
    assert_eq!(*room.lock().unwrap(), Some((Room::Pool, "database")));
    read(10, 1);
    pool.turned_away();
    read(10, 2);
    assert_eq!(heard.names(), ["saturated", "exhausted"]);
    read(0, 400);
    assert_eq!(heard.names(), ["saturated", "exhausted", "cleared"]);
    let peak = heard.0.lock().unwrap()[2].1.peak;
    assert_eq!(peak, 10);
}

type Hangs<F> = Bulkhead<tower::util::ServiceFn<F>>;

fn hang(_: ()) -> std::future::Pending<Result<(), BoxError>> {
    std::future::pending()
}

fn admit<F, T>(client: &mut Hangs<F>) -> <Hangs<F> as Service<()>>::Future
where
    F: FnMut(()) -> T,
    T: Future<Output = Result<(), BoxError>>,
{
    let ready = client.poll_ready(&mut std::task::Context::from_waker(std::task::Waker::noop()));
    assert!(ready.is_ready());
    client.call(())
}

fn manual(config: BulkheadConfig, heard: &Heard) -> (BulkheadConfig, ManualClock) {
    let (clock, hand) = Clock::manual();
    (config.clock(clock).observe(heard.hear()), hand)
}

#[test]
fn a_bulkhead_tells_when_it_is_saturated_and_the_most_that_were_in_it() {
    let heard = Heard::default();
    let (config, hand) = manual(BulkheadConfig::new("payments").limit(10), &heard);
    let layer = BulkheadLayer::new(config).unwrap();
    let handle = layer.handle();
    let mut client = layer.layer(service_fn(hang));
    let look = |looks| {
        for _ in 0..looks {
            handle.tick();
            hand.advance(LOOK);
        }
    };
    let mut held: Vec<_> = (0..9).map(|_| admit(&mut client)).collect();
    look(80);
    // Full for less than a look, and one was turned away.
    held.push(admit(&mut client));
    drop((held.pop(), admit(&mut client)));
    let (tenth, refused) = (admit(&mut client), admit(&mut client));
    drop((tenth, refused));
    look(21);
    assert_eq!(heard.names(), ["saturated"]);
    let usage = heard.0.lock().unwrap()[0].1;
    assert_eq!((usage.used, usage.size, usage.peak), (9, 10, 10));
    assert!(handle.is_saturated());
    drop(held);
    look(400);
    assert_eq!(heard.names(), ["saturated", "cleared"]);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waits_on_and_on_keeps_a_full_bulkhead_exhausted() {
    let heard = Heard::default();
    let config = BulkheadConfig::new("payments").limit(1).queue(1);
    let config = config.max_wait(Duration::from_secs(3_600)).observe(heard.hear());
    let layer = BulkheadLayer::queued(config).unwrap();
    let mut client = layer.layer(service_fn(hang));
    let cx = &mut std::task::Context::from_waker(std::task::Waker::noop());
    assert!(client.poll_ready(cx).is_ready());
    let _held = client.call(());
    assert!(client.poll_ready(cx).is_ready());
    let _waits = client.call(());
    for _ in 0..950 {
        layer.handle().tick();
        tokio::time::advance(LOOK).await;
    }
    let exhausted = heard.names().into_iter().filter(|name| *name == "exhausted").count();
    assert_eq!(exhausted, 4, "at once, and every 30 s: it waits all the time");
}

#[test]
fn a_bulkhead_that_measures_its_baseline_every_ten_seconds_can_be_saturated() {
    let heard = Heard::default();
    let config = BulkheadConfig::new("payments").limit(20).limits(1..=20).adaptive(Vegas::new());
    let (config, hand) = manual(config, &heard);
    let layer = BulkheadLayer::new(config).unwrap();
    let handle = layer.handle();
    let answer = |_: ()| std::future::ready(Ok::<_, BoxError>(()));
    let mut client = layer.layer(service_fn(answer));
    let mut held: VecDeque<(i32, Pin<Box<dyn Future<Output = _>>>)> = VecDeque::new();
    let (mut lowest, mut highest) = (u32::MAX, 0);
    // Always as many as may be, each for a hundred milliseconds; a look every tenth step.
    for step in 0..6_000 {
        if step % 10 == 0 {
            handle.tick();
        }
        hand.advance(LOOK / 10);
        while held.front().is_some_and(|(ends, _)| *ends <= step) {
            let (_, mut call) = held.pop_front().unwrap();
            let cx = &mut std::task::Context::from_waker(std::task::Waker::noop());
            assert!(call.as_mut().poll(cx).is_ready());
        }
        loop {
            let snapshot = handle.snapshot();
            if snapshot.in_flight >= snapshot.limit {
                break;
            }
            held.push_back((step + 10, Box::pin(admit(&mut client))));
        }
        (lowest, highest) =
            (lowest.min(handle.snapshot().limit), highest.max(handle.snapshot().limit));
    }
    assert_eq!((lowest, highest), (10, 20), "it was measured");
    assert_eq!(heard.names().iter().filter(|name| **name == "saturated").count(), 1);
    assert!(handle.is_saturated());
}
