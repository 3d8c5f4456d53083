//! A bad deployment at 5 % that corrupts balances, rolled back; and a dependency that fails behind both
//! versions, which rolls nobody back.
//!
//! `cargo run --example canary_rollback`, or with the command to be run at the rollback:
//! `cargo run --example canary_rollback -- kubectl argo rollouts abort ledger`.
//!
//! A thousand calls a second on a clock that is moved by hand; only the command takes real time.

use std::cell::Cell;
use std::env;
use std::error::Error;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use seawall::canary::{CanaryConfig, Data};
use seawall::clock::Clock;
use seawall::drive::Drive;
use seawall::event::{Event, Kind};
use seawall::rng;
use seawall::rollout::{Command, Phase, Rollout, RolloutConfig};
use seawall::stack;
use tower::{Service, ServiceExt, service_fn};

const OPENING_BALANCE: i64 = 1_000;

/// What goes wrong, and how it ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Story {
    /// The new version adds where it should take away. It answers quickly, and with success.
    CorruptedBalances,
    /// The database behind both versions is down for a while.
    DatabaseDown,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    println!("== A new version corrupts balances ==");
    play(Story::CorruptedBalances).await?;
    println!("\n== The database fails behind both versions ==");
    play(Story::DatabaseDown).await
}

/// The command that undoes the deployment: as given, or a stand-in that says what would be run.
fn undo() -> Command {
    let mut args = env::args_os().skip(1);
    match args.next() {
        Some(program) => Command::new(program).args(args),
        None => Command::new("echo").args(["kubectl", "argo", "rollouts", "abort", "ledger"]),
    }
}

async fn play(story: Story) -> Result<(), Box<dyn Error>> {
    rng::seed_thread(42);
    let (clock, hand) = Clock::manual();
    let began = clock.now();
    let audit_trail = move |event: &Event| {
        if let Kind::Rollout(audit) = &event.kind {
            let mark = if audit.step.is_alarming() { "!" } else { " " };
            println!("{mark} {:7.2} s  {audit}", event.at.since(began).as_secs_f64());
        }
    };

    // The rollback is the one line with `rollout`.
    let stack =
        stack::payment("ledger")
            .clock(clock.clone())
            // It starts warm: there is nothing to wait for.
            .canary(CanaryConfig::new("ledger-v2").no_warm_up(), |canary| {
                canary.check(|amount: &i64, balance: &i64| {
                    if *balance == OPENING_BALANCE - amount { Data::Ok } else { Data::Bad }
                })
            })
            .rollout(RolloutConfig::new("ledger").stages([0.05, 0.25, 1.0]).hook(undo()))
            .observe(audit_trail)
            .build()?;

    let database_is_down = Rc::new(Cell::new(false));
    let down = Rc::clone(&database_is_down);
    let v1 = service_fn(move |amount: i64| {
        let balance = OPENING_BALANCE - amount;
        let answer = if down.get() { Err(io::Error::other("database")) } else { Ok(balance) };
        async move { answer }
    });
    let down = Rc::clone(&database_is_down);
    let v2 = service_fn(move |amount: i64| {
        let sign = if story == Story::CorruptedBalances { 1 } else { -1 };
        let balance = OPENING_BALANCE + sign * amount;
        let answer = if down.get() { Err(io::Error::other("database")) } else { Ok(balance) };
        async move { answer }
    });
    let mut ledger = stack.split(v1, v2);

    let rollout = &stack.handles().canary.rollout;
    rollout.start("deploy-117", "v2.4.1")?;
    let (mut wrong, mut by_the_new, mut after_the_decision) = (0_u64, 0_u64, 0_u64);
    for ms in 0..100_000 {
        let at = Duration::from_millis(ms).as_secs();
        database_is_down.set(story == Story::DatabaseDown && (60..75).contains(&at));
        let answer = ledger.ready().await?.call(100).await;
        hand.advance(Duration::from_millis(1));
        rollout.tick();
        if answer.is_ok_and(|balance| balance != OPENING_BALANCE - 100) {
            wrong += 1;
            after_the_decision += u64::from(rollout.snapshot().phase != Phase::Stage);
        }
        let told = rollout.snapshot();
        if told.phase == Phase::Stage {
            by_the_new = told.standing.totals.errors.canary.calls;
        }
        if told.phase == Phase::RollingBack {
            // In a service this was spawned at the start: `tokio::spawn(stack.drive().run())`.
            carry_out(stack.drive(), rollout).await;
        }
    }

    let end = rollout.snapshot();
    println!("  ended: {}, with {} of the calls", end.phase.as_str(), end.weight);
    match story {
        Story::CorruptedBalances => {
            println!("  {wrong} users saw a wrong balance, none of them after the decision");
            assert_eq!((end.phase, after_the_decision), (Phase::RolledBack, 0));
            assert!(wrong <= 200, "found too late");
        }
        Story::DatabaseDown => {
            println!("  {by_the_new} calls were the new version's, and it still gets its share");
            assert!(matches!(end.phase, Phase::Stage) && wrong == 0);
        }
    }
    Ok(())
}

/// Drives until the rollback is over.
async fn carry_out(drive: Drive, rollout: &Rollout) {
    let over = async {
        while rollout.snapshot().phase == Phase::RollingBack {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        () = drive.run() => {}
        () = over => {}
    }
}
