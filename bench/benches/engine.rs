//! The engine's functions by the clock, at 2 to 10,000 accounts: `cargo bench -p rota-bench`. What they cost in
//! instructions is `rota-bench counts`.
use criterion::{BenchmarkId, Criterion};
use rota_bench::engine_loop::{Asked, POOLS, Pool};

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    for asked in Asked::ALL {
        let mut group = criterion.benchmark_group(asked.name());
        for accounts in POOLS {
            match Pool::new(accounts) {
                Ok(mut pool) => {
                    group.bench_function(BenchmarkId::from_parameter(accounts), |bencher| {
                        bencher.iter(|| pool.ask(asked, 1));
                    });
                }
                Err(error) => eprintln!("error: {accounts} accounts: {error}"),
            }
        }
        group.finish();
    }
    criterion.final_summary();
}
