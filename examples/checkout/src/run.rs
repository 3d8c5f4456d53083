//! Plays the incident once: starts the services, flips the switch by the script, keeps the books.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use axum::Router;
use axum::serve::ListenerExt;
use seawall::incident::Timeline;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::sleep_until;

use crate::args::{Args, Mode};
use crate::checkout;
use crate::client::{PaymentClient, Watch};
use crate::clock::{self, SECOND};
use crate::ledger::Ledger;
use crate::load::{DEADLINE, Limits, Load};
use crate::payment::Payment;
use crate::progress;
use crate::report::{Report, Span};
use crate::script::{self, Fault};
use crate::term;
use crate::traffic::Traffic;

/// The same callers in both modes, and in every run.
pub(crate) const SEED: u64 = 42;
/// On its way to the payment service a call must not meet a flip of the switch: it would be counted
/// in one phase and answered by the other. It gets there in this time.
const TRANSIT: u64 = SECOND / 200;
/// The usual 128 overflows when callers give up in thousands and call anew; the kernel would then
/// drop connections in the fault's name.
const BACKLOG: u32 = 4_096;
/// A caller that gives up at its deadline needs a moment to say so.
pub(crate) const GRACE: u64 = SECOND / 2;

pub(crate) async fn incident(
    mode: Mode,
    args: &Args,
    limits: &Limits,
    stop: watch::Receiver<bool>,
) -> Result<Report, String> {
    let payment = Payment::new();
    let client = PaymentClient::new(mode)?;
    let watch = Arc::clone(client.watch());
    let timeline = client.timeline().clone();
    let payments = Server::start(Arc::clone(&payment).router()).await?;
    let checkouts = Server::start(checkout::router(client, payments.address)).await?;
    let ledger = Arc::new(Ledger::default());
    let load = Load::new(checkouts.address, Arc::clone(&ledger), *limits);

    progress::header(mode, args.rps, args.seconds_per_mode());
    let unanswered = load.warm_up().await;
    if unanswered > 0 {
        term::say(&format!("warm-up: {unanswered} reads went unanswered"));
    }
    watch.take_peak();

    let stage = Stage {
        payment: &payment,
        watch: &watch,
        ledger: &ledger,
        load: &load,
        timeline: &timeline,
    };
    let spans = stage.play(args, stop).await;
    let last = clock::now() + DEADLINE + GRACE;
    while load.waiting() > 0 && clock::now() < last {
        sleep_until(clock::instant(clock::now() + SECOND / 100)).await;
    }
    let opened = |start, end| watch.opened_between(start, end);
    let report = Report::new(&spans, &ledger, payment.double_charges(), opened);
    timeline.tick();
    Ok(Report { incidents: timeline.incidents(), ..report })
}

/// What the script is played on.
struct Stage<'a> {
    payment: &'a Payment,
    watch: &'a Watch,
    ledger: &'a Ledger,
    load: &'a Load,
    timeline: &'a Timeline,
}

impl Stage<'_> {
    /// One loop offers the calls, flips the switch and prints the lines: so no call is offered on
    /// the wrong side of a flip.
    async fn play(&self, args: &Args, mut stop: watch::Receiver<bool>) -> Vec<Span> {
        let mut traffic = Traffic::new(SEED);
        let mut spans: Vec<Span> = Vec::new();
        let begun = clock::now();
        let (mut due, mut tick) = (begun + traffic.gap(args.rps), begun + SECOND);
        let mut planned_end = begun;
        for phase in script::incident(args.seconds_per_mode()) {
            planned_end += phase.length.as_micros() as u64;
            self.flip(&mut spans, phase.fault).await;
            let start = clock::now();
            spans.push(Span { phase, start, end: start, sick_calls: 0, peak_in_flight: 0 });
            loop {
                let next = due.min(tick).min(planned_end);
                tokio::select! {
                    biased;
                    () = until(next) => {}
                    _ = stop.wait_for(|&stop| stop) => {
                        self.flip(&mut spans, Fault::Healthy).await;
                        return spans;
                    }
                }
                // A line that is due at the end of a phase still belongs to it.
                if next == tick {
                    self.timeline.tick();
                    self.tell((tick - begun) / SECOND, phase.name);
                    tick += SECOND;
                } else if next == planned_end {
                    break;
                } else {
                    self.load.offer(traffic.next(), due);
                    due += traffic.gap(args.rps);
                }
            }
        }
        self.flip(&mut spans, Fault::Healthy).await;
        spans
    }

    /// Flips the switch, and closes the books of the phase that ends with it.
    async fn flip(&self, spans: &mut [Span], fault: Fault) {
        until(clock::now() + TRANSIT).await;
        self.payment.set(fault);
        if let Some(last) = spans.last_mut() {
            last.end = clock::now();
            last.sick_calls = self.payment.take_sick_calls();
            last.peak_in_flight = self.watch.take_peak();
        }
        self.ledger.begin_phase();
    }

    fn tell(&self, second: u64, phase: &str) {
        progress::line(second, phase, &self.ledger.take_second(), self.watch);
    }
}

/// A timer ticks in milliseconds; a moment that is here already needs none.
pub(crate) async fn until(at: u64) {
    if at > clock::now() {
        sleep_until(clock::instant(at)).await;
    }
}

/// A service on a port of the system's choice, until it is dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    task: JoinHandle<io::Result<()>>,
}

impl Server {
    pub(crate) async fn start(router: Router) -> Result<Self, String> {
        let fail = |error| format!("cannot listen on loopback: {error}");
        let listener = Self::listen().map_err(fail)?;
        let address = listener.local_addr().map_err(fail)?;
        let listener = listener.tap_io(|stream| {
            // Small answers are not to wait for more; without it they are late, not lost.
            let _ = stream.set_nodelay(true);
        });
        let task = tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(Self { address, task })
    }

    fn listen() -> io::Result<TcpListener> {
        let socket = TcpSocket::new_v4()?;
        socket.bind((Ipv4Addr::LOCALHOST, 0).into())?;
        socket.listen(BACKLOG)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}
