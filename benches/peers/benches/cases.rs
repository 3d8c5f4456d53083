//! The cases of `cost` under criterion, on one thread, through the same trait and the same loop.

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use seawall_peers::cases::Manner;
use seawall_peers::{CASES, contenders, runtimes, stopwatch};

fn cases(criterion: &mut Criterion) {
    let timers = runtimes::for_timers();
    let _context = timers.enter();
    let polled = CASES.iter().filter(|case| case.manner != Manner::OnRuntime);
    for case in polled {
        let mut group = criterion.benchmark_group(case.name);
        for contender in contenders::all() {
            let Some(mut built) = contender.build(case) else {
                continue;
            };
            group.bench_function(BenchmarkId::from_parameter(contender.name()), |bencher| {
                bencher.iter_custom(|calls| stopwatch::time(|| built.caller.run(calls)));
            });
        }
        group.finish();
    }
}

criterion_group!(benches, cases);
criterion_main!(benches);
