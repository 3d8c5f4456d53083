//! A scripted payment incident over real HTTP, once through a bare client, once through seawall.
//!
//! Three parties live in this process and talk over loopback: the load, the checkout service and
//! the payment service with its fault switch. `cargo run --release -p checkout` plays it all.
#![forbid(unsafe_code)]

mod answer;
mod args;
mod canary;
mod checkout;
mod client;
mod clock;
mod ledger;
mod load;
mod payment;
mod progress;
mod ramp;
mod ramp_report;
mod report;
mod rng;
mod run;
mod script;
mod table;
mod term;
mod traffic;
mod verify;

use std::fs::{self, File};
use std::path::Path;
use std::process::ExitCode;

use seawall::incident::Incident;
use tokio::sync::watch;

use crate::args::{Args, LoadArgs, Parsed};
use crate::report::Reports;

/// A run that could not begin: the flags, or the file to write.
const MISUSED: u8 = 2;
/// Ended by Ctrl-C, as a shell reports it.
const INTERRUPTED: u8 = 130;

fn main() -> ExitCode {
    let args = match args::parse(std::env::args_os().skip(1)) {
        Ok(Parsed::Run(args)) => args,
        Ok(Parsed::Load(args)) => return ended(ramp_up(&args)),
        Ok(Parsed::Help) => {
            term::say(args::USAGE);
            return ExitCode::SUCCESS;
        }
        Err(problem) => {
            eprintln!("checkout: {problem}\n\n{}", args::USAGE);
            return ExitCode::from(MISUSED);
        }
    };
    ended(play(&args))
}

fn ended(result: Result<ExitCode, String>) -> ExitCode {
    result.unwrap_or_else(|problem| {
        eprintln!("checkout: {problem}");
        ExitCode::from(MISUSED)
    })
}

/// The load test. It judges nobody: a service has its breaking point.
#[tokio::main]
async fn ramp_up(args: &LoadArgs) -> Result<ExitCode, String> {
    let limits = load::Limits::raise();
    let stop = on_ctrl_c();
    let mut climbs = Vec::new();
    for &mode in args.mode.each() {
        if *stop.borrow() {
            break;
        }
        climbs.push(ramp::climb(mode, args, &limits, stop.clone()).await?);
    }
    term::say(&ramp_report::table(&climbs));
    if let Some(path) = &args.html {
        write(path, ramp_report::page(&climbs))?;
    }
    if let Some(path) = &args.json {
        let json = serde_json::to_string_pretty(&climbs).map_err(|error| error.to_string())?;
        write(path, json + "\n")?;
    }
    Ok(if *stop.borrow() { ExitCode::from(INTERRUPTED) } else { ExitCode::SUCCESS })
}

#[tokio::main]
async fn play(args: &Args) -> Result<ExitCode, String> {
    // Opened first: nobody wants to learn after the run that it can't be written.
    let json = match &args.json {
        Some(path) => {
            let file = File::create(path)
                .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
            Some((path, file))
        }
        None => None,
    };
    let limits = load::Limits::raise();
    let stop = on_ctrl_c();

    let mut reports = Reports::default();
    if args.canary {
        reports.canary = Some(canary::play(args.rps, &limits, &stop).await?);
    }
    let modes = if args.canary { &[] } else { args.mode.each() };
    for &mode in modes {
        if *stop.borrow() {
            break;
        }
        let report = run::incident(mode, args, &limits, stop.clone()).await?;
        reports.put(mode, report);
    }

    if let Some((path, file)) = json {
        serde_json::to_writer_pretty(file, &reports)
            .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    }
    let interrupted = *stop.borrow();
    match &reports.canary {
        Some(canary) => canary.say(),
        None => term::say(&table::draw(&reports)),
    }
    let problems = reports.problems();
    term::say(&table::closing(&reports, &problems, interrupted));
    tell_incidents(reports.incidents(), &args.post_mortem)?;
    Ok(if interrupted {
        ExitCode::from(INTERRUPTED)
    } else if problems.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// What the one on call would read, and the file that they would go on with.
fn tell_incidents(incidents: &[Incident], file: &Path) -> Result<(), String> {
    if incidents.is_empty() {
        return Ok(());
    }
    for incident in incidents {
        term::say(&format!("\n{incident}"));
    }
    if let Some(folder) = file.parent() {
        // If that fails, so does the writing, and says why.
        let _ = fs::create_dir_all(folder);
    }
    let text: Vec<String> = incidents.iter().map(Incident::post_mortem).collect();
    write(file, text.join("\n"))?;
    term::say(&format!("\nThe beginnings of its post-mortem: {}", file.display()));
    Ok(())
}

fn write(path: &Path, text: String) -> Result<(), String> {
    fs::write(path, text).map_err(|error| format!("cannot write {}: {error}", path.display()))
}

/// Turns true once, at the first Ctrl-C.
fn on_ctrl_c() -> watch::Receiver<bool> {
    let (tell, stop) = watch::channel(false);
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            let _ = tell.send(true);
        }
        // Held for ever: a receiver must not take the end of this task for a signal.
        tell.closed().await;
    });
    stop
}
