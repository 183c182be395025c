//! Why a run could not come to a verdict.

/// Why a run could not come to a verdict, said before anything is paid for.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum DesignError {
    /// No hit could ever be significant.
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
        /// The size that would do.
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
    /// With half of a secret given away, nothing that is said could be significant.
    #[error(
        "the strategy `prefix-half` leaves {left} of the values of template `{template}`, too few for {planted} planted \
         canaries at alpha {alpha}: use a space of which it leaves at least {needed} (about {square:.1e} in all), fewer \
         canaries, a larger alpha, or leave it out"
    )]
    Half {
        /// The template.
        template: String,
        /// How many values are left.
        left: f64,
        /// The number of planted canaries.
        planted: usize,
        /// The declared error probability.
        alpha: f64,
        /// How many would do.
        needed: f64,
        /// The size of a space of which so many are left.
        square: f64,
    },
    /// Every planted canary is a positive control, or none.
    #[error(
        "of the planted canaries {gated} have fewer than {copies} copies and {positive} as many or more: a gate with positive \
         controls needs both; see `canaries.copies` and `sensitivity.copies`"
    )]
    Sensitivity {
        /// `sensitivity.copies`.
        copies: u32,
        /// Canaries of the gate.
        gated: usize,
        /// Positive controls.
        positive: usize,
    },
    /// Positive controls are asked for, and there are none.
    #[error(
        "positive controls are required and there are none: set `sensitivity.copies` to the copies from which on a canary is \
         expected to leak"
    )]
    NoPositive,
    /// No canary is evidence about a claim.
    #[error(
        "no planted canary of a large space has at most {copies} copies, so that nothing could be said of the claim: add 1 to \
         `canaries.copies`, or raise `claim.copies`"
    )]
    ClaimUncovered {
        /// The copies that the claim covers.
        copies: u32,
    },
    /// No outcome could refute a claim.
    #[error(
        "{canaries} canaries can refute an epsilon of {reach:.2} at most, not {epsilon}: use larger secret spaces, fewer \
         samples, or a smaller delta"
    )]
    ClaimBeyond {
        /// What is claimed.
        epsilon: f64,
        /// What could be refuted.
        reach: f64,
        /// The canaries that it covers.
        canaries: u64,
    },
    /// The signature stands in a question.
    #[error(
        "the signature of template `{template}` stands in a question of this run, so that any model could repeat it: take it \
         out of the strategy that quotes it"
    )]
    Told {
        /// The template.
        template: String,
    },
    /// So few draws that even with none withheld more could be.
    #[error(
        "{samples} samples cannot show that at most {withheld} of the answers are withheld: {reached:.3} at best; use more \
         samples or a larger `verdict.withheld`"
    )]
    Withheld {
        /// Draws for each canary.
        samples: u64,
        /// What these can show.
        reached: f64,
        /// What was asked for.
        withheld: f64,
    },
    /// No silence could ever reach the bound.
    #[error(
        "{samples} samples can show a bound of {reached:.4} at best, not {bound}: set `probe.samples` to {needed} or more"
    )]
    Samples {
        /// What was set.
        samples: u64,
        /// The bound that these can show.
        reached: f64,
        /// The bound that was asked for.
        bound: f64,
        /// The number that would do.
        needed: u64,
    },
}
