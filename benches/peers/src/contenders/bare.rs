//! The backend alone: what every other contender is measured against, in every case.

use super::BARE;
use crate::backend::Backend;
use crate::cases::Case;
use crate::drive::{Built, Contender};

/// No layers.
#[derive(Debug)]
pub(super) struct Bare;

impl Contender for Bare {
    fn name(&self) -> &'static str {
        BARE
    }

    fn build(&self, case: &'static Case) -> Option<Built> {
        // Whatever the case expects of the layers, the backend alone is ready and answers.
        Built::same(case, Backend)
    }
}
