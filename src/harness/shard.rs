//! Part of the canaries, for one machine.

/// Part of the canaries: shard `number` of `of`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    pub(super) number: usize,
    pub(super) of: usize,
}

impl Shard {
    /// Parses `K/N`, as in `2/5`; `None` unless 1 ≤ K ≤ N.
    ///
    /// ```
    /// use blabbermouth::harness::Shard;
    /// let shard = Shard::parse("2/3").expect("one of three");
    /// assert_eq!((0..7).filter(|i| shard.has(*i)).collect::<Vec<_>>(), [1, 4]);
    /// assert!(Shard::parse("4/3").is_none() && Shard::parse("0/3").is_none());
    /// ```
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (number, of) = text.split_once('/')?;
        let (number, of) = (number.parse().ok()?, of.parse().ok()?);
        (1..=of).contains(&number).then_some(Self { number, of })
    }

    /// Whether the canary at this position of the manifest is in the shard. Neighbors go to different shards, so that
    /// each has its share of planted and of held-out canaries.
    #[must_use]
    pub const fn has(self, index: usize) -> bool {
        index % self.of == self.number - 1
    }
}
