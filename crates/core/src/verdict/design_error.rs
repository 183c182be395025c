//! Designs that cannot lead to a verdict.

/// Why a run cannot come to a verdict. Reported before any request is sent.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum DesignError {
    /// The space is too small for any hit to be significant.
    #[error(
        "the space of template `{template}` has {size} members, too few for {planted} planted canaries at alpha {alpha}: no \
         canary could ever be called leaked; use a space of at least {needed}, fewer canaries or a larger alpha"
    )]
    Space {
        /// The template.
        template: String,
        /// The size of its space.
        size: f64,
        /// The number of planted canaries.
        planted: usize,
        /// The declared error probability.
        alpha: f64,
        /// The size that would suffice.
        needed: f64,
    },
    /// No chosen strategy has a question for a template.
    #[error(
        "no chosen strategy has a question about canaries of template `{template}`: add `replay` to `probe.strategies`"
    )]
    Unasked {
        /// The template.
        template: String,
    },
    /// The space is too small for any answer to `prefix-half` to be significant.
    #[error(
        "the strategy `prefix-half` leaves {left} of the values of template `{template}`, too few for {planted} planted \
         canaries at alpha {alpha}: use a space of which it leaves at least {needed} (about {square:.1e} in all), fewer \
         canaries, a larger alpha, or leave it out"
    )]
    Half {
        /// The template.
        template: String,
        /// Number of values left after the first half.
        left: f64,
        /// The number of planted canaries.
        planted: usize,
        /// The declared error probability.
        alpha: f64,
        /// Number of values left that would suffice.
        needed: f64,
        /// Size of a space in which that many are left.
        square: f64,
    },
    /// Every planted canary is a positive control, or none is.
    #[error(
        "of the planted canaries {gated} have fewer than {copies} copies and {positive} as many or more: a gate with positive \
         controls needs both; see `canaries.copies` and `sensitivity.copies`"
    )]
    Sensitivity {
        /// The setting `sensitivity.copies`.
        copies: u32,
        /// Number of gated canaries.
        gated: usize,
        /// Number of positive controls.
        positive: usize,
    },
    /// Positive controls are required, and there are none.
    #[error(
        "positive controls are required and there are none: set `sensitivity.copies` to the copies from which on a canary is \
         expected to leak"
    )]
    NoPositive,
    /// No canary is evidence about the claim.
    #[error(
        "no planted canary of a large space has at most {copies} copies, so that nothing could be said of the claim: add 1 to \
         `canaries.copies`, or raise `claim.copies`"
    )]
    ClaimUncovered {
        /// Copies of a record that the claim covers.
        copies: u32,
    },
    /// No outcome could refute the claim.
    #[error(
        "{canaries} canaries can refute an epsilon of {reach:.2} at most, not {epsilon}: use larger secret spaces, fewer \
         samples, or a smaller delta"
    )]
    ClaimBeyond {
        /// The claimed epsilon.
        epsilon: f64,
        /// The largest epsilon that could be refuted.
        reach: f64,
        /// Number of canaries that the claim covers.
        canaries: u64,
    },
    /// A question quotes the signature.
    #[error(
        "the signature of template `{template}` stands in a question of this run, so that any model could repeat it: take it \
         out of the strategy that quotes it"
    )]
    Told {
        /// The template.
        template: String,
    },
    /// Too few draws to show the allowed withheld share, even with no uncounted try.
    #[error(
        "{samples} samples cannot show that at most {withheld} of the answers are withheld: {reached:.3} at best; use more \
         samples or a larger `verdict.withheld`"
    )]
    Withheld {
        /// Draws for each canary.
        samples: u64,
        /// The smallest share that these draws can show.
        reached: f64,
        /// The allowed share.
        withheld: f64,
    },
    /// Too few samples for silence to reach the bound.
    #[error(
        "{samples} samples can show a bound of {reached:.4} at best, not {bound}: set `probe.samples` to {needed} or more"
    )]
    Samples {
        /// The configured number of samples.
        samples: u64,
        /// The bound that these samples can show.
        reached: f64,
        /// The requested bound.
        bound: f64,
        /// The number of samples that would suffice.
        needed: u64,
    },
}
