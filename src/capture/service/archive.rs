//! Archived days whose files `coltape archive` or `coltape restore` wants removed or put back while this capture holds the directory.
//!
//! What the files of a day are is read from the record of archived days; a request names days and nothing else. A day that a writer has opened again has
//! another page than the record knows, and stays. Nobody opens or makes a day while its files are removed or put back.
//!
//! The thread `repair` does it, between repairs.

use crate::capture::context::CaptureContext;
use crate::store::archive_request::{ArchiveAnswer, ArchiveRequest};
use crate::store::archived::ArchivedDays;
use crate::store::{StoreError, removal};

/// Takes the request that waits, if one does, and answers it.
///
/// # Errors
/// Where the request cannot be read, or the answer cannot be written.
pub(super) fn answer_request(context: &CaptureContext) -> Result<(), StoreError> {
    let dir = context.dir().path();
    let Some(request) = ArchiveRequest::take(dir)? else { return Ok(()) };
    let mut answer = ArchiveAnswer { id: request.id, done: Vec::new(), failed: Vec::new() };
    match ArchivedDays::read(dir, &request.product) {
        Ok(archived) => {
            for (place, (dataset, date)) in request.days.iter().enumerate() {
                match archived.get(*dataset, *date).map(|day| (day, removal::act_on(context.dir(), request.act, day))) {
                    Some((_, Ok(event))) => {
                        context.journal.write(event);
                        answer.done.push(place);
                    }
                    Some((day, Err(error))) => answer.failed.push(removal::why_not(request.act, day, &error)),
                    None => answer.failed.push(format!("{} {} {date}: it is not archived", request.product, dataset.folder())),
                }
            }
        }
        Err(error) => answer.failed.push(error.to_string()),
    }
    answer.write(dir)
}
