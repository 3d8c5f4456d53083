//! The command line: `cost`, `instructions`, `http`, `limits`, `canary`, `drill`.

mod interpose;

use std::process::ExitCode;

use seawall_peers::{allocs, args::Args, canary, cost, drill, http, instructions, limits};

#[global_allocator]
static COUNTING: allocs::Counting = allocs::Counting;

const HELP: &str = "\
usage: seawall-peers cost [--quick] [--check] [--instructions] [--case NAME] [--contender NAME] [--json FILE]
       seawall-peers instructions [--case NAME] [--contender NAME] [--json FILE] [--baseline FILE]
       seawall-peers http [--quick] [--clients N] [--json FILE]
       seawall-peers limits [--quick] [--case NAME] [--contender NAME] [--json FILE] [--html FILE]
       seawall-peers canary [--quick] [--json FILE] [--html FILE]
       seawall-peers drill [--quick] [--scenario NAME] [--contender NAME] [--seeds N]
                           [--json FILE] [--html FILE]";

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let command = words.next().unwrap_or_default();
    let result = Args::read(words).and_then(|args| match command.as_str() {
        "cost" => cost::command(&args),
        "instructions" => instructions::command(&args),
        // What `instructions` runs under valgrind.
        "spin" => instructions::spin(&args),
        "http" => http::command(&args),
        "canary" => canary::command(&args),
        "limits" => limits::command(&args),
        "drill" => drill::command(&args),
        _ => Err(HELP.into()),
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
