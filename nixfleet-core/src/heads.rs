//! Finding one of many hashes: by its first 64 bits, which are spread evenly.

/// The first bits of hashes, sorted. A look-up starts where their leading bits say, so it costs
/// the same whatever their number; if they are not spread, it is a binary search.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Heads {
    sorted: Vec<u64>,
    /// For each value of the leading bits, and one more, the first place that is not below.
    starts: Vec<u32>,
    shift: u32,
}

/// At most so many leading bits are told apart.
const MAX_BITS: u32 = 16;

impl Heads {
    /// From sorted heads.
    pub(crate) fn new(sorted: Vec<u64>) -> Self {
        let bits = sorted.len().next_power_of_two().trailing_zeros();
        let bits = bits.clamp(1, MAX_BITS);
        let shift = u64::BITS - bits;
        let mut starts = Vec::with_capacity((1 << bits) + 1);
        let mut place: u32 = 0;
        let mut rest = sorted.iter().peekable();
        for bucket in 0..1_u64 << bits {
            starts.push(place);
            while rest.next_if(|head| **head >> shift == bucket).is_some() {
                place += 1;
            }
        }
        starts.push(place);
        Self {
            sorted,
            starts,
            shift,
        }
    }

    /// The place of the first head that is not below this one.
    #[inline]
    pub(crate) fn first_from(&self, head: u64) -> usize {
        let bucket = head.checked_shr(self.shift).unwrap_or(0) as usize;
        let Some(&[from, to, ..]) = self.starts.get(bucket..) else {
            return 0;
        };
        let (from, to) = (from as usize, to as usize);
        let bucket = self.sorted.get(from..to).unwrap_or_default();
        from + bucket.partition_point(|&one| one < head)
    }

    /// The places of the heads that are this one.
    #[inline]
    pub(crate) fn places_of(&self, head: u64) -> impl Iterator<Item = usize> + '_ {
        let from = self.first_from(head);
        let alike = self.sorted.iter().skip(from);
        let alike = alike.take_while(move |one| **one == head);
        alike.enumerate().map(move |(at, _)| from + at)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_look_up_finds_what_a_search_from_the_start_finds(
            mut heads in prop::collection::vec(
                prop_oneof![any::<u64>(), 0..9_u64, Just(u64::MAX), (0..9_u64).prop_map(|n| n << 60)],
                0..80,
            ),
            other in any::<u64>(),
        ) {
            heads.sort_unstable();
            let index = Heads::new(heads.clone());
            for head in heads.iter().copied().chain([other, 0, 1, u64::MAX]) {
                let first = heads.iter().position(|one| *one >= head).unwrap_or(heads.len());
                prop_assert_eq!(index.first_from(head), first);
                let places: Vec<usize> = (0..heads.len()).filter(|at| heads[*at] == head).collect();
                prop_assert_eq!(index.places_of(head).collect::<Vec<_>>(), places);
            }
        }
    }

    #[test]
    fn nothing_is_found_in_nothing() {
        for head in [0, 7, u64::MAX] {
            assert_eq!(Heads::default().first_from(head), 0);
            assert_eq!(Heads::new(Vec::new()).first_from(head), 0);
            assert_eq!(Heads::default().places_of(head).next(), None);
        }
    }
}
