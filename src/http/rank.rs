//! What a request is worth, by its method.

use ::http::Request;

use crate::criticality::Criticality;

/// Ranks what changes something above what only looks: for [`BulkheadLayer::rank`] and the preset.
///
/// `GET`, `HEAD`, `OPTIONS` and `TRACE` are [`Normal`](Criticality::Normal); all else, a charge above
/// all, is [`Critical`](Criticality::Critical). A read can be answered from what was kept, or asked
/// again; a charge that is turned away is a sale lost. A request that carries a [`Criticality`] among
/// its extensions is of that class, whatever its method: so a prefetch can be
/// [`Background`](Criticality::Background), and a read that a charge waits for `Critical`.
///
/// [`BulkheadLayer::rank`]: crate::bulkhead::BulkheadLayer::rank
///
/// ```
/// use http::Request;
/// use seawall::bulkhead::{BulkheadConfig, BulkheadLayer};
/// use seawall::criticality::Criticality;
/// use seawall::http::writes_first;
///
/// let config = BulkheadConfig::new("payments")
///     .limit(100)
///     .share(Criticality::Critical, 0.7)
///     .share(Criticality::Normal, 0.3);
/// let layer = BulkheadLayer::new(config).unwrap().rank(writes_first::<()>);
/// # let _ = layer;
///
/// let charge = Request::post("https://pay.example/charges").body(()).unwrap();
/// assert_eq!(writes_first(&charge), Criticality::Critical);
/// let mut quote = Request::get("https://pay.example/quotes/7").body(()).unwrap();
/// assert_eq!(writes_first(&quote), Criticality::Normal);
/// quote.extensions_mut().insert(Criticality::Background);
/// assert_eq!(writes_first(&quote), Criticality::Background);
/// ```
pub fn writes_first<B>(request: &Request<B>) -> Criticality {
    let marked = request.extensions().get::<Criticality>().copied();
    marked.unwrap_or(if request.method().is_safe() {
        Criticality::Normal
    } else {
        Criticality::Critical
    })
}

#[cfg(all(test, not(seawall_loom)))]
mod tests {
    use super::*;

    #[test]
    fn what_changes_something_comes_first_unless_the_request_says_otherwise() {
        let rank = |method: &str| {
            let request = Request::builder().method(method).body(()).unwrap();
            writes_first(&request)
        };
        for method in ["GET", "HEAD", "OPTIONS", "TRACE"] {
            assert_eq!(rank(method), Criticality::Normal, "{method}");
        }
        for method in ["POST", "PUT", "PATCH", "DELETE", "CHARGE"] {
            assert_eq!(rank(method), Criticality::Critical, "{method}");
        }
        for class in Criticality::ALL {
            let request = Request::post("/").extension(class).body(()).unwrap();
            assert_eq!(writes_first(&request), class);
        }
    }
}
