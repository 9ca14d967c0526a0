//! Where batches of a segment are known to begin: what index and sieves noted when it was whole.
//! Never looks into the segment.

use super::archive::Located;
use super::chain::Place;
use super::index::SparseIndex;
use super::sieves::load_sieves;

/// In no order.
pub(crate) fn known_places(located: Located<'_>) -> Vec<Place> {
    let segment = located.segment;
    let (folder, meter) = (&located.partition.folder, &located.archive.meter);
    let index = segment.sealed.then(|| SparseIndex::load(located.disk, folder, segment, meter));
    let mut places = index.flatten().map_or_else(Vec::new, |index| index.places());
    if segment.refined.is_none() {
        let place = |(position, base)| Place { position, base };
        match located.partition.sieves(segment.base) {
            Some(sieves) => places.extend(sieves.places().map(place)),
            None => places.extend(load_sieves(located).places().map(place)),
        }
    }
    places
}
