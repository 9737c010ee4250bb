//! `events!`: makes [`super::Event`] of a table: a variant for each line, and what writes, reads and names it.
//!
//! A line of the table is the variant, the name that a journal has, what it means, and its fields, each with its type and meaning. The fields are written
//! in that order.

macro_rules! events {
    ($( $variant:ident $name:literal, $doc:literal $( { $( $field:ident: $type:ty, $field_doc:literal; )+ } )?; )+) => {
        /// One event of a journal.
        ///
        /// ```
        /// use coltape::internals::store::event::Event;
        /// use coltape::UnixNanos;
        /// let event = Event::SyncFailed { error: "no \"space\"".to_owned() };
        /// let line = event.line(UnixNanos(1_000_000_000));
        /// assert_eq!(line, r#"{"time":"1970-01-01T00:00:01.000000000Z","event":"sync_failed","error":"no \"space\""}"#);
        /// ```
        #[derive(Debug, Clone, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum Event {
            $(
                #[doc = concat!("`", $name, "`: ", $doc)]
                $variant $( { $( #[doc = $field_doc] $field: $type, )+ } )?,
            )+
        }

        impl Event {
            /// Gives the event's name, as a line has it in `event`.
            #[must_use]
            pub const fn name(&self) -> &'static str {
                match self {
                    $( Self::$variant { .. } => $name, )+
                }
            }

            /// Gives the product that the event is about, if it is about one.
            #[must_use]
            pub fn product(&self) -> Option<&ProductId> {
                match self {
                    $( Self::$variant $( { $( $field, )+ } )? => None $( $( .or_else(|| Field::product($field)) )+ )?, )+
                }
            }

            fn write_fields(&self, line: &mut LineText) {
                match self {
                    $( Self::$variant $( { $( $field, )+ } )? => { $( $( Field::write($field, stringify!($field), line); )+ )? } )+
                }
            }

            /// Reads the event of that name; nothing where no event has it.
            fn read(name: &str, fields: &Fields<'_>) -> Result<Option<Self>, Missing> {
                let mut missing = None;
                $(
                    if name == $name {
                        let read = || -> Result<Self, Missing> {
                            Ok(Self::$variant $( { $( $field: Field::read(stringify!($field), fields)?, )+ } )?)
                        };
                        match read() {
                            Ok(event) => return Ok(Some(event)),
                            Err(error) => { missing.get_or_insert(error); }
                        }
                    }
                )+
                missing.map_or(Ok(None), Err)
            }
        }

        /// A strategy for every event, with its name in the table.
        #[cfg(test)]
        fn strategies() -> Vec<(&'static str, proptest::strategy::BoxedStrategy<Event>)> {
            use proptest::strategy::{Just, Strategy};
            vec![$( {
                let fields = (Just(()), $( $( <$type as tests::Sample>::any(), )+ )?);
                (stringify!($variant), fields.prop_map(|((), $( $( $field, )+ )?)| Event::$variant $( { $( $field, )+ } )?).boxed())
            }, )+]
        }
    };
}

pub(super) use events;
