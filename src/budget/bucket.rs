//! The tokens: billionths in one word, and deposits that are counted apart.
//!
//! Amounts are whole billionths of a token. Then a floor of `f` tokens a second is exactly `f` a
//! nanosecond, a ratio in parts per million is exact too, and nothing is ever rounded.
//!
//! A withdrawal first *collects*: it takes what the stripes have counted, and the time since the last
//! collection, and adds both to the balance, up to the cap. Each count is taken by a swap and each span
//! of time by a compare-and-swap of its beginning, so whatever is collected is collected once. Then it
//! takes its cost in one compare-and-swap, if the balance holds as much.
//!
//! # Orderings
//! All Relaxed. Every amount is moved by a single read-modify-write on its own word, which is atomic at
//! any ordering, and nothing is published behind them. A withdrawal may come between another's taking
//! of deposits and its adding of them: it then sees too little, never too much.

use crate::clock::{Moment, nanos};
use crate::live::Live;
use crate::ratio::Ratio;
use crate::stripe::{Padded, Striped};
use crate::sync::{AtomicU64, Ordering};

/// Billionths in a token.
pub(crate) const TOKEN: u64 = 1_000_000_000;

/// A clock that fell back by less than this has merely been read on another core.
const SKEW: u64 = TOKEN;

/// What is paid for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cost {
    /// One more call, after one that failed or beside one that is slow: one token.
    One,
    /// One more call after one that gave no answer. It held its place at the other side until it was
    /// given up, and may hold it still, so it costs more: see
    /// [`BudgetConfig::doubt_cost`](super::BudgetConfig::doubt_cost).
    InDoubt,
}

/// The settings, in billionths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Terms {
    /// What a first attempt earns.
    pub(crate) earned: u64,
    /// What a nanosecond earns: as many billionths as the floor has tokens a second.
    pub(crate) floor: u64,
    /// No balance is larger.
    pub(crate) cap: u64,
    /// What a repetition costs after an answer in doubt.
    pub(crate) doubt: u64,
}

impl Terms {
    pub(crate) fn new(ratio: Ratio, floor: u32, burst: u32, doubt: u32) -> Self {
        Self {
            earned: u64::from(ratio.ppm()) * (TOKEN / 1_000_000),
            floor: floor.into(),
            cap: u64::from(burst) * TOKEN,
            doubt: u64::from(doubt) * TOKEN,
        }
    }

    const fn words(self) -> [u64; 4] {
        [self.earned, self.floor, self.cap, self.doubt]
    }

    const fn of([earned, floor, cap, doubt]: [u64; 4]) -> Self {
        Self { earned, floor, cap, doubt }
    }

    /// What `firsts` first attempts and `elapsed` nanoseconds have earned.
    const fn earnings(self, firsts: u64, elapsed: u64) -> u64 {
        firsts.saturating_mul(self.earned).saturating_add(elapsed.saturating_mul(self.floor))
    }

    pub(crate) const fn price(self, cost: Cost) -> u64 {
        match cost {
            Cost::One => TOKEN,
            Cost::InDoubt => self.doubt,
        }
    }
}

/// See the module's words.
#[derive(Debug)]
pub(crate) struct Bucket {
    /// First attempts, counted by thread and not yet collected.
    firsts: Striped<AtomicU64>,
    /// Billionths.
    balance: Padded<AtomicU64>,
    /// Up to when the floor was collected.
    collected: AtomicU64,
    terms: Live<4>,
}

impl Bucket {
    /// A full one.
    pub(crate) fn new(terms: Terms, now: Moment) -> Self {
        Self {
            firsts: Striped::new(|| AtomicU64::new(0)),
            balance: Padded(AtomicU64::new(terms.cap)),
            collected: AtomicU64::new(now.as_nanos()),
            terms: Live::new(terms.words()),
        }
    }

    pub(crate) fn terms(&self) -> Terms {
        Terms::of(self.terms.read([0, 1, 2, 3]))
    }

    /// For what is collected from now on. A smaller cap cuts the balance at the next withdrawal.
    pub(crate) fn set_terms(&self, terms: Terms) {
        self.terms.publish(terms.words());
    }

    /// One more first attempt.
    #[inline]
    pub(crate) fn deposit(&self) {
        // Relaxed: see "Orderings".
        self.firsts.mine().1.fetch_add(1, Ordering::Relaxed);
    }

    /// Takes the price of `cost`, if there is as much; what was taken.
    pub(crate) fn withdraw(&self, cost: Cost, now: Moment) -> Option<u64> {
        let terms = self.terms();
        self.add(self.collect(terms, now), terms.cap);
        let price = terms.price(cost);
        // Relaxed: see "Orderings".
        self.balance
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |balance| {
                balance.checked_sub(price)
            })
            .ok()
            .map(|_| price)
    }

    /// Puts back what was taken for a call that was not made.
    pub(crate) fn refund(&self, amount: u64) {
        self.add(amount, self.terms().cap);
    }

    /// What a withdrawal at `now` could take. Never writes.
    pub(crate) fn balance(&self, now: Moment) -> u64 {
        let terms = self.terms();
        // Relaxed throughout: see "Orderings".
        let firsts =
            self.firsts.iter().fold(0_u64, |sum, n| sum.saturating_add(n.load(Ordering::Relaxed)));
        let elapsed = now.as_nanos().saturating_sub(self.collected.load(Ordering::Relaxed));
        let balance = self.balance.0.load(Ordering::Relaxed);
        balance.saturating_add(terms.earnings(firsts, elapsed)).min(terms.cap)
    }

    /// Takes what was earned since the last time.
    fn collect(&self, terms: Terms, now: Moment) -> u64 {
        let mut firsts = 0_u64;
        for stripe in self.firsts.iter() {
            // Relaxed: see "Orderings". Read first, so that an idle stripe's line stays where it is.
            if stripe.load(Ordering::Relaxed) != 0 {
                firsts = firsts.saturating_add(stripe.swap(0, Ordering::Relaxed));
            }
        }
        terms.earnings(firsts, self.take_time(now))
    }

    /// The nanoseconds since the last time, for one taker alone.
    fn take_time(&self, now: Moment) -> u64 {
        let now = now.as_nanos();
        // Relaxed: see "Orderings".
        let since = self.collected.load(Ordering::Relaxed);
        // A clock that went back by much would stop the floor until it has caught up: start anew.
        if now > since || since - now > SKEW {
            let taken =
                self.collected.compare_exchange(since, now, Ordering::Relaxed, Ordering::Relaxed);
            if taken.is_ok() {
                return now.saturating_sub(since);
            }
        }
        0
    }

    fn add(&self, amount: u64, cap: u64) {
        // Relaxed: see "Orderings". Stores nothing where nothing changes.
        let _ = self.balance.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |balance| {
            let sum = balance.saturating_add(amount).min(cap);
            (sum != balance).then_some(sum)
        });
    }
}

/// Whole nanoseconds, as the bucket counts them.
#[cfg(test)]
fn span(nanoseconds: u64) -> std::time::Duration {
    std::time::Duration::from_nanos(nanoseconds)
}

const _: () = assert!(nanos(std::time::Duration::from_secs(1)) == TOKEN);

#[cfg(all(test, not(seawall_loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    const START: Moment = Moment::from_nanos(1 << 61);

    fn terms(ppm: u32, floor: u32, burst: u32) -> Terms {
        Terms::new(Ratio::from_ppm(ppm).unwrap(), floor, burst, 2)
    }

    fn taken(bucket: &Bucket, at: Moment) -> u32 {
        (0..).take_while(|_| bucket.withdraw(Cost::One, at).is_some()).count() as u32
    }

    #[test]
    fn five_first_attempts_earn_a_retry_at_twenty_percent() {
        let bucket = Bucket::new(terms(200_000, 0, 10), START);
        assert_eq!(taken(&bucket, START), 10, "it starts full");
        (0..4).for_each(|_| bucket.deposit());
        assert_eq!(taken(&bucket, START), 0);
        bucket.deposit();
        assert_eq!(taken(&bucket, START), 1);
        assert_eq!(taken(&bucket, START), 0);
    }

    #[test]
    fn the_floor_is_earned_by_time() {
        let bucket = Bucket::new(terms(0, 4, 10), START);
        taken(&bucket, START);
        let quarter = START.plus(Duration::from_millis(250));
        assert_eq!(taken(&bucket, quarter.plus(Duration::ZERO)), 1);
        assert_eq!(taken(&bucket, quarter.plus(Duration::from_millis(249))), 0);
        assert_eq!(taken(&bucket, quarter.plus(Duration::from_millis(250))), 1);
        assert_eq!(taken(&bucket, quarter.plus(Duration::from_millis(1_250))), 4);
    }

    #[test]
    fn an_idle_century_and_a_busy_hour_save_up_no_more_than_the_burst() {
        let bucket = Bucket::new(terms(1_000_000, u32::MAX, 7), START);
        assert_eq!(taken(&bucket, Moment::from_nanos(u64::MAX)), 7);
        (0..100_000).for_each(|_| bucket.deposit());
        assert_eq!(taken(&bucket, Moment::from_nanos(u64::MAX)), 7);
    }

    #[test]
    fn an_answer_in_doubt_costs_more() {
        let bucket = Bucket::new(terms(0, 0, 3), START);
        assert_eq!(bucket.withdraw(Cost::InDoubt, START), Some(2 * TOKEN));
        assert_eq!(bucket.withdraw(Cost::InDoubt, START), None, "one token is left");
        assert_eq!(bucket.withdraw(Cost::One, START), Some(TOKEN));
    }

    #[test]
    fn a_refund_never_passes_the_cap() {
        let bucket = Bucket::new(terms(0, 0, 2), START);
        bucket.refund(TOKEN);
        assert_eq!(taken(&bucket, START), 2);
        bucket.refund(TOKEN);
        assert_eq!(taken(&bucket, START), 1);
    }

    #[test]
    fn a_clock_that_goes_back_an_hour_neither_pays_nor_stops_the_floor() {
        let bucket = Bucket::new(terms(0, 1, 10), START);
        taken(&bucket, START);
        let back = Moment::from_nanos(START.as_nanos() - 3_600 * TOKEN);
        assert_eq!(taken(&bucket, back), 0);
        assert_eq!(taken(&bucket, back.plus(Duration::from_secs(1))), 1);
        // By a little, as another core's reading may be: what was paid isn't paid again.
        assert_eq!(taken(&bucket, back.plus(Duration::from_millis(500))), 0);
        assert_eq!(taken(&bucket, back.plus(Duration::from_secs(1))), 0);
    }

    #[test]
    fn a_smaller_cap_cuts_and_a_new_ratio_holds_at_once() {
        let bucket = Bucket::new(terms(0, 0, 10), START);
        bucket.set_terms(terms(500_000, 0, 3));
        assert_eq!(bucket.balance(START), 3 * TOKEN);
        assert_eq!(taken(&bucket, START), 3);
        (0..4).for_each(|_| bucket.deposit());
        assert_eq!(taken(&bucket, START), 2);
    }

    /// A balance that is kept one step at a time, as a child would.
    struct Naive {
        balance: u128,
        at: u64,
    }

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Deposit(u8),
        Wait(u64),
        Withdraw(bool),
        Refund,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0_u8..20).prop_map(Step::Deposit),
            prop_oneof![0_u64..2_000_000_000, 0..u64::MAX / 1_000].prop_map(Step::Wait),
            any::<bool>().prop_map(Step::Withdraw),
            Just(Step::Refund),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(10_000))]
        #[test]
        fn it_holds_what_a_naive_budget_holds(
            ppm in 0_u32..=1_000_000,
            floor in 0_u32..1_000,
            burst in 2_u32..100,
            steps in prop::collection::vec(step(), 0..60),
        ) {
            let bucket = Bucket::new(terms(ppm, floor, burst), START);
            let cap = u128::from(burst) * 1_000_000_000;
            let mut naive = Naive { balance: cap, at: START.as_nanos() };
            let mut last = None;
            for step in steps {
                match step {
                    Step::Deposit(n) => for _ in 0..n {
                        bucket.deposit();
                        naive.balance = cap.min(naive.balance + u128::from(ppm) * 1_000);
                    },
                    Step::Wait(ns) => {
                        let then = naive.at.saturating_add(ns);
                        let passed = u128::from(then - naive.at);
                        naive.balance = cap.min(naive.balance + passed * u128::from(floor));
                        naive.at = then;
                    }
                    Step::Withdraw(doubt) => {
                        let cost = if doubt { Cost::InDoubt } else { Cost::One };
                        let price = if doubt { 2_000_000_000 } else { 1_000_000_000 };
                        let now = START.plus(span(naive.at - START.as_nanos()));
                        let got = bucket.withdraw(cost, now);
                        prop_assert_eq!(got.is_some(), naive.balance >= price);
                        if let Some(price) = got {
                            naive.balance -= u128::from(price);
                            last = Some(price);
                        }
                    }
                    Step::Refund => if let Some(amount) = last.take() {
                        // What was earned before the refund is put in before it, as it was earned.
                        let now = Moment::from_nanos(naive.at);
                        bucket.add(bucket.collect(bucket.terms(), now), bucket.terms().cap);
                        bucket.refund(amount);
                        naive.balance = cap.min(naive.balance + u128::from(amount));
                    }
                }
                let balance = bucket.balance(Moment::from_nanos(naive.at));
                prop_assert_eq!(u128::from(balance), naive.balance);
            }
        }
    }
}

#[cfg(all(test, seawall_loom))]
mod model {
    use super::*;
    use crate::sync::race;

    const START: Moment = Moment::from_nanos(1 << 61);

    fn empty(floor: u32) -> Bucket {
        let bucket = Bucket::new(Terms::new(Ratio::ONE, floor, 9, 2), START);
        while bucket.withdraw(Cost::One, START).is_some() {}
        bucket
    }

    fn with(tokens: u64) -> Bucket {
        let bucket = empty(0);
        bucket.refund(tokens * TOKEN);
        bucket
    }

    /// What one withdrawal at `at` took.
    fn take(bucket: &Bucket, cost: Cost, at: Moment) -> u64 {
        bucket.withdraw(cost, at).unwrap_or(0)
    }

    #[test]
    fn a_deposit_beside_a_withdrawal_is_not_lost() {
        let earned_one = || {
            let bucket = empty(0);
            bucket.deposit();
            bucket
        };
        race(
            earned_one,
            |bucket| take(bucket, Cost::One, START),
            Bucket::deposit,
            |bucket, taken, ()| {
                assert_eq!(taken, TOKEN, "what lay there is found");
                assert_eq!(bucket.balance(START) + taken, 2 * TOKEN);
            },
        );
    }

    #[test]
    fn deposits_are_withdrawn_once_and_none_is_lost() {
        let earned_one = || {
            let bucket = empty(0);
            bucket.deposit();
            bucket
        };
        let withdraw = |bucket: &Bucket| take(bucket, Cost::One, START);
        race(earned_one, withdraw, withdraw, |bucket, one, other| {
            assert!(one + other <= TOKEN, "it is there once");
            assert_eq!(bucket.balance(START) + one + other, TOKEN);
        });
    }

    #[test]
    fn one_token_is_taken_by_one() {
        let withdraw = |bucket: &Bucket| take(bucket, Cost::One, START);
        race(
            || with(1),
            withdraw,
            withdraw,
            |bucket, one, other| {
                assert_eq!(one + other, TOKEN, "a token that lies there is found, and only once");
                assert_eq!(bucket.balance(START), 0);
            },
        );
    }

    #[test]
    fn three_tokens_never_pay_for_two_answers_in_doubt() {
        let withdraw = |bucket: &Bucket| take(bucket, Cost::InDoubt, START);
        race(
            || with(3),
            withdraw,
            withdraw,
            |bucket, one, other| {
                assert_eq!(one + other, 2 * TOKEN);
                assert_eq!(bucket.balance(START), TOKEN);
            },
        );
    }

    #[test]
    fn a_refund_beside_a_withdrawal_is_not_lost() {
        race(
            || with(1),
            |bucket| take(bucket, Cost::One, START),
            |bucket| bucket.refund(TOKEN),
            |bucket, taken, ()| {
                assert_eq!(taken, TOKEN);
                assert_eq!(bucket.balance(START), TOKEN);
            },
        );
    }

    #[test]
    fn a_second_of_the_floor_is_earned_once() {
        let later = START.plus(span(TOKEN));
        let withdraw = move |bucket: &Bucket| take(bucket, Cost::One, later);
        race(
            || empty(1),
            withdraw,
            withdraw,
            move |bucket, one, other| {
                assert!(one + other <= TOKEN);
                assert_eq!(bucket.balance(later) + one + other, TOKEN);
            },
        );
    }

    #[test]
    fn a_change_of_terms_beside_a_withdrawal_neither_makes_tokens_nor_passes_the_new_cap() {
        let fewer = Terms::new(Ratio::ONE, 0, 2, 2);
        race(
            || with(3),
            |bucket| take(bucket, Cost::One, START),
            move |bucket| bucket.set_terms(fewer),
            |bucket, taken, ()| {
                assert_eq!(taken, TOKEN);
                assert!(bucket.balance(START) <= 2 * TOKEN);
            },
        );
    }
}
