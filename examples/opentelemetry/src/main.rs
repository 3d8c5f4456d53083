//! Metrics and traces of one stack, exported by OpenTelemetry.
//!
//! Five calls: two are answered, two fail, and with that the circuit opens, so the fifth is refused. Each
//! call is a span of the service's own; what seawall tells becomes an event of the span in which it
//! happened. The counts and levels go the other way, through the crate `metrics`. Both come out at
//! standard output here; with the crate `opentelemetry-otlp` in place of `opentelemetry-stdout` they go to a
//! collector, and nothing else changes.

use std::error::Error;

use metrics_exporter_otel::OpenTelemetryRecorder;
use opentelemetry::metrics::MeterProvider;
use opentelemetry::trace::TracerProvider;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider};
use opentelemetry_sdk::trace::SdkTracerProvider;
use seawall::error::BoxError;
use seawall::stack;
use seawall::telemetry::{Metrics, Sampler, Tracing};
use tower::{ServiceExt, service_fn};
use tracing::{Instrument, info_span};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let resource = Resource::builder().with_service_name("checkout").build();

    // Traces: tracing's spans, and seawall's events in them, to a tracer.
    let spans = SdkTracerProvider::builder()
        .with_resource(resource.clone())
        .with_simple_exporter(opentelemetry_stdout::SpanExporter::default())
        .build();
    let layer = tracing_opentelemetry::layer()
        .with_tracer(spans.tracer("checkout"))
        .with_location(false)
        .with_threads(false)
        .with_tracked_inactivity(false);
    // Not what the SDK says of itself.
    tracing_subscriber::registry().with(layer.with_filter(LevelFilter::INFO)).init();

    // Metrics: the crate `metrics`, to a meter. A reader exports them once a minute, and at the end.
    let reader = PeriodicReader::builder(opentelemetry_stdout::MetricExporter::default()).build();
    let meters = SdkMeterProvider::builder().with_resource(resource).with_reader(reader).build();
    let metrics = Metrics::new().recorder(OpenTelemetryRecorder::new(meters.meter("seawall")));

    let stack = stack::payment("payments")
        .breaker(|config| config.consecutive_failures(2))
        .observe(metrics.clone())
        .observe(Tracing::new())
        .build()?;
    let mut sampler = Sampler::new(&metrics);
    sampler.watch(stack.handles().clone());
    // In a service: tokio::spawn(sampler.run(Duration::from_secs(10))).

    let payments = stack.service(service_fn(|order: u32| async move {
        if order < 2 { Ok(order) } else { Err(BoxError::from("503")) }
    }));
    for order in 0..5 {
        let call = payments.clone().oneshot(order).instrument(info_span!("charge", order));
        match call.await {
            Ok(order) => println!("order {order} is paid"),
            Err(error) => println!("order {order} is not: {error}"),
        }
    }

    sampler.sample();
    spans.shutdown()?;
    meters.shutdown()?;
    Ok(())
}
