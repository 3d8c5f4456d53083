//! What every layer promises, asked of every layer.
//!
//! A probe is a function in `probes.rs` that takes any layer; a layer is a function in `layers.rs`.
//! To put a new layer under all probes, describe it there and add its name here. To ask a new
//! question of all layers, write the probe and add its name here.

mod broken;
mod inner;
mod layers;
mod probes;

/// A module for each layer, with a test for each probe.
macro_rules! ask {
    (layers: $layers:tt probes: $probes:tt) => {
        ask!(@each $layers $probes);
    };
    (@each { $($(#[$only:meta])? $layer:ident)* } $probes:tt) => {
        $($(#[$only])? mod $layer { ask!(@layer $layer $probes); })*
    };
    (@layer $layer:ident { $($probe:ident)* }) => {
        $(
            #[test]
            fn $probe() {
                crate::probes::$probe(crate::layers::$layer());
            }
        )*
    };
}

ask! {
    layers: {
        breaker
        timed_breaker
        bulkhead
        canary_split
        canary_watch
        kill_switch
        #[cfg(feature = "cache")]
        cached
        fallback
        hedge
        #[cfg(feature = "cache")]
        preset
        ready_in_call
        retry
        stacked
        timeout
        timeout_with_deadline
    }
    probes: {
        passes_answers_and_errors_through
        calls_only_the_instance_that_was_readied
        readiness_is_the_inners_or_waited_for_in_the_call
        an_error_of_poll_ready_reaches_the_caller
        readied_clones_hold_nothing_and_may_be_dropped_uncalled
        dropped_at_any_await_point_leaves_every_gauge_at_zero
        an_ended_call_owes_nothing_while_its_future_is_kept
        a_panic_in_call_leaves_every_gauge_at_zero
        a_panic_in_poll_leaves_every_gauge_at_zero
        works_with_a_clone_for_each_request
        works_under_a_buffer
        works_under_a_balance
        works_boxed_as_a_clone_sync_service
        serves_an_inner_that_is_not_send
        is_send_and_sync_when_its_inner_is
        is_small
        works_without_a_runtime
        works_on_two_runtimes_at_once
        a_runtime_shut_down_with_ten_thousand_in_flight_leaks_nothing
    }
}
