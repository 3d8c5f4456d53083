//! The parts around both arms of a stack: what a caller meets first.
#![allow(clippy::type_complexity)] // the parts, by name

use std::time::Duration;

use super::arm::{Arm, UnderDeadline};
use super::part::{CanaryPart, Custom, DeadlinePart, Off, SloPart};
use super::payment::{Payment, replace};
use crate::canary::{Canary, CanaryConfig, WatchLayer};
use crate::kill_switch::KillSwitch;
use crate::rollout::RolloutConfig;
use crate::slo::Objective;
use crate::timeout::TimeoutConfig;

/// Objective, fallback, kill switch, deadline and canary of a [`Payment`], outermost first.
#[derive(Clone, Debug)]
pub struct Edge<O = Off, F = Off, X = Off, D = Off, C = Off> {
    pub(super) slo: O,
    pub(super) fallback: F,
    pub(super) switch: X,
    pub(super) deadline: D,
    pub(super) canary: C,
}

impl Edge {
    /// Nothing.
    pub(super) const NONE: Self =
        Self { slo: Off, fallback: Off, switch: Off, deadline: Off, canary: Off };
}

impl<O, F, X, D, C, A> Payment<Edge<O, F, X, D, C>, A> {
    /// Holds what the caller sees against an objective, and tells when its budget burns too fast.
    ///
    /// `classify` says what is good: by itself a refusal counts for nothing and a stale answer is good.
    /// If your users see it otherwise, say so with [`RefusedAs`](crate::slo::RefusedAs) and
    /// [`StaleAs`](crate::slo::StaleAs). For a second objective put an
    /// [`SloLayer`](crate::slo::SloLayer) around the service.
    ///
    /// ```
    /// use seawall::outcome::{ByResult, Outcome};
    /// use seawall::slo::{Objective, RefusedAs};
    /// use seawall::stack;
    ///
    /// let stack = stack::payment("payments")
    ///     .slo(
    ///         Objective::availability("checkout", 0.999),
    ///         RefusedAs::new(Outcome::Failure, ByResult),
    ///     )
    ///     .build()?;
    /// assert_eq!(stack.handles().slo.snapshot().bad, 0);
    /// # Ok::<_, seawall::ConfigError>(())
    /// ```
    #[must_use]
    pub fn slo<N>(
        self,
        objective: Objective,
        classify: N,
    ) -> Payment<Edge<SloPart<N>, F, X, D, C>, A> {
        let slo = SloPart { objective, classify };
        self.with_edge(|edge| replace!(Edge { slo; fallback, switch, deadline, canary }, edge))
    }

    /// No objective.
    #[must_use]
    pub fn no_slo(self) -> Payment<Edge<Off, F, X, D, C>, A> {
        let slo = Off;
        self.with_edge(|edge| replace!(Edge { slo; fallback, switch, deadline, canary }, edge))
    }

    /// Answers with the last good response of the same key, marked, when a call is refused or fails.
    #[cfg(feature = "cache")]
    #[must_use]
    pub fn cached<Rules, Kept, N>(
        self,
        config: crate::fallback::CachedConfig<Rules, N>,
    ) -> Payment<Edge<O, super::part::CachedPart<Rules, Kept, N>, X, D, C>, A> {
        let fallback = super::part::CachedPart { config, keeps: std::marker::PhantomData };
        self.with_edge(|edge| replace!(Edge { fallback; slo, switch, deadline, canary }, edge))
    }

    /// Answers by `layer`, such as a [`FallbackLayer`](crate::fallback::FallbackLayer), when a call is
    /// refused or fails.
    #[must_use]
    pub fn fallback<L>(self, layer: L) -> Payment<Edge<O, Custom<L>, X, D, C>, A> {
        let fallback = Custom(layer);
        self.with_edge(|edge| replace!(Edge { fallback; slo, switch, deadline, canary }, edge))
    }

    /// No fallback: refused and failed calls stay what they are.
    #[must_use]
    pub fn no_fallback(self) -> Payment<Edge<O, Off, X, D, C>, A> {
        let fallback = Off;
        self.with_edge(|edge| replace!(Edge { fallback; slo, switch, deadline, canary }, edge))
    }

    /// A kill switch: on halt, calls are refused, inside the fallback; on bypass, they go straight to
    /// the client (but for the body, and the error's type). The client must be `Clone`.
    #[must_use]
    pub fn kill_switch(self, switch: &KillSwitch) -> Payment<Edge<O, F, KillSwitch, D, C>, A> {
        let switch = switch.clone();
        self.with_edge(|edge| replace!(Edge { switch; slo, fallback, deadline, canary }, edge))
    }

    /// Shares the calls between two versions of the service, compares them, and takes the canary out when
    /// it is worse. The service is then made of two clients, by [`Stack::split`](super::Stack::split);
    /// each arm has a retry, a breaker, a bulkhead and a timeout of its own, the canary's by the same
    /// settings and under the name that `config` has.
    ///
    /// The canary has no calls until its share is [set](crate::canary::CanaryHandle::set_weight).
    /// `set_up` says how answers are judged, and whether callers keep their version:
    /// [`classify`](Canary::classify), [`check`](Canary::check), [`sticky`](Canary::sticky).
    /// A layer of your own in an arm ([`breaker_layer`](Payment::breaker_layer) and others) is cloned for
    /// the second arm; seawall's own layers are then one circuit, one limit, for both.
    ///
    /// ```
    /// use seawall::canary::{CanaryConfig, Data};
    /// use seawall::ratio::Ratio;
    /// use seawall::stack;
    /// use std::io;
    /// use tower::{Service, ServiceExt, service_fn};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let stack = stack::payment("ledger")
    ///     .canary(CanaryConfig::new("ledger-v2"), |canary| {
    ///         canary.check(|amount: &i64, balance: &i64| {
    ///             if *balance == 100 - amount { Data::Ok } else { Data::Bad }
    ///         })
    ///     })
    ///     .build()?;
    /// let v1 = service_fn(|amount: i64| async move { Ok::<_, io::Error>(100 - amount) });
    /// let v2 = service_fn(|amount: i64| async move { Ok::<_, io::Error>(100 + amount) });
    /// let mut ledger = stack.split(v1, v2);
    /// assert!(stack.handles().canary.comparison.set_weight(Ratio::percent(5).unwrap()));
    /// let balance = ledger.ready().await?.call(30).await?;
    /// assert!(balance == 70 || balance == 130, "by one of the two");
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn canary<G, N, K, U>(
        self,
        config: CanaryConfig,
        set_up: G,
    ) -> Payment<Edge<O, F, X, D, CanaryPart<G>>, A>
    where
        G: FnOnce(Canary) -> Canary<N, K, U>,
    {
        let canary = CanaryPart { config, set_up, rollout: Off };
        self.with_edge(|edge| replace!(Edge { canary; slo, fallback, switch, deadline }, edge))
    }

    /// Compares two versions that something else routes between, behind the one client.
    #[must_use]
    pub fn watch<T, N, K>(
        self,
        layer: WatchLayer<T, N, K>,
    ) -> Payment<Edge<O, F, X, D, Custom<WatchLayer<T, N, K>>>, A> {
        let canary = Custom(layer);
        self.with_edge(|edge| replace!(Edge { canary; slo, fallback, switch, deadline }, edge))
    }

    /// No canary.
    #[must_use]
    pub fn no_canary(self) -> Payment<Edge<O, F, X, D, Off>, A> {
        let canary = Off;
        self.with_edge(|edge| replace!(Edge { canary; slo, fallback, switch, deadline }, edge))
    }
}

impl<O, F, X, D, G, R, A> Payment<Edge<O, F, X, D, CanaryPart<G, R>>, A> {
    /// Steers the canary's share of the calls, stage by stage, and rolls it back: by the comparison, by the
    /// breakers of both arms, or at an operator's word. [`Stack::drive`](super::Stack::drive) calls the
    /// hooks.
    ///
    /// ```
    /// use seawall::canary::CanaryConfig;
    /// use seawall::rollout::{Command, RolloutConfig};
    /// use seawall::stack;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let undo = Command::new("kubectl").args(["argo", "rollouts", "abort", "ledger"]);
    /// let stack = stack::payment("ledger")
    ///     .canary(CanaryConfig::new("ledger-v2"), |canary| canary)
    ///     .rollout(RolloutConfig::new("ledger").hook(undo))
    ///     .build()?;
    /// let driving = tokio::spawn(stack.drive().run());
    /// stack.handles().canary.rollout.start("deploy-117", "v2.4.1")?;
    /// # driving.abort();
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn rollout(
        self,
        rollout: RolloutConfig,
    ) -> Payment<Edge<O, F, X, D, CanaryPart<G, RolloutConfig>>, A> {
        self.with_edge(|edge| {
            let CanaryPart { config, set_up, .. } = edge.canary;
            let canary = CanaryPart { config, set_up, rollout };
            let Edge { slo, fallback, switch, deadline, .. } = edge;
            Edge { slo, fallback, switch, deadline, canary }
        })
    }
}

impl<O, F, X, D, C, Y, B, K, T, R, H> Payment<Edge<O, F, X, D, C>, Arm<Y, B, K, T, R, H>> {
    /// The limit of a whole call, all its attempts together: at least that of one attempt.
    ///
    /// Requests must be [`Marked`](crate::request::Marked). What a request says itself counts where it is
    /// earlier. Attempts are given what is left, and none is begun when nothing is.
    #[must_use]
    pub fn deadline(
        self,
        limit: Duration,
    ) -> Payment<Edge<O, F, X, DeadlinePart, C>, Arm<Y, B, K, T::Under, R, H>>
    where
        T: UnderDeadline,
    {
        let deadline = DeadlinePart(TimeoutConfig::new(self.name).limit(limit));
        self.with_edge(|edge| replace!(Edge { deadline; slo, fallback, switch, canary }, edge))
            .with_arm(|arm| {
                let Arm { retry, breaker, bulkhead, timeout, ready, buffer } = arm;
                Arm { retry, breaker, bulkhead, timeout: timeout.under(), ready, buffer }
            })
    }
}
