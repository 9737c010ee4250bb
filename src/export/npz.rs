//! [`NpzWriter`]: a NumPy archive with one array of records, the array's key `data`.
//!
//! 1. An `.npz` file is a zip archive, an array in it a `.npy` file: a header that names types and shape, then the records as they stand in memory.
//! 2. The number of records is said first, as the header has it. [`NpzWriter::finish`] refuses to end a file with another number.
//! 3. Lengths stand in 64-bit fields throughout (zip64), as `numpy.savez` writes them: a day of 70 million events is larger than 4 GiB. They follow the
//!    compressed bytes, so that the file is written from its beginning to its end.
//! 4. The bytes depend on the records alone: the archive's time is the epoch of zip, 1980-01-01.

use std::io::{self, Write};

use flate2::write::DeflateEncoder;
use flate2::{Compression, Crc};

/// The name of the array's file within the archive.
const NAME: &[u8] = b"data.npy";

/// The NumPy type of a record: names and types of its fields in order, without padding.
pub(super) type Fields = &'static [(&'static str, &'static str)];

/// Writes the archive to a file.
pub(super) struct NpzWriter<W: Write> {
    encoder: DeflateEncoder<Counted<W>>,
    crc: Crc,
    written: u64,
    expected: u64,
}

impl<W: Write> NpzWriter<W> {
    /// Begins an archive of `records` records of `record_size` bytes.
    ///
    /// # Errors
    /// As the output's.
    pub(super) fn begin(mut output: W, fields: Fields, record_size: usize, records: u64) -> io::Result<Self> {
        output.write_all(&local_header())?;
        let header = npy_header(fields, records);
        let expected = header.len() as u64 + records * record_size as u64;
        let encoder = DeflateEncoder::new(Counted { output, bytes: 0 }, Compression::fast());
        let mut writer = Self { encoder, crc: Crc::new(), written: 0, expected };
        writer.write(&header)?;
        Ok(writer)
    }

    /// Adds whole records.
    ///
    /// # Errors
    /// As the output's.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.crc.update(bytes);
        self.written += bytes.len() as u64;
        self.encoder.write_all(bytes)
    }

    /// Ends the archive, and gives the output back.
    ///
    /// # Errors
    /// As the output's; also where the number of records is not the one that was said.
    pub(super) fn finish(self) -> io::Result<W> {
        if self.written != self.expected {
            return Err(io::Error::other(format!("{} bytes of records instead of {}", self.written, self.expected)));
        }
        let Counted { mut output, bytes } = self.encoder.finish()?;
        output.write_all(&tail(self.crc.sum(), bytes, self.written))?;
        Ok(output)
    }
}

/// An output that counts its bytes.
struct Counted<W> {
    output: W,
    bytes: u64,
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.output.write(bytes)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}

/// The `.npy` header, version 1.0: padded so that the records begin at a multiple of 64 bytes.
fn npy_header(fields: Fields, records: u64) -> Vec<u8> {
    const BEFORE_TEXT: usize = 10;
    const ALIGNMENT: usize = 64;
    let fields: Vec<String> = fields.iter().map(|(name, kind)| format!("('{name}', '{kind}')")).collect();
    let mut text = format!("{{'descr': [{}], 'fortran_order': False, 'shape': ({records},), }}", fields.join(", "));
    let unpadded = BEFORE_TEXT + text.len() + 1;
    text.push_str(&" ".repeat(unpadded.next_multiple_of(ALIGNMENT) - unpadded));
    text.push('\n');
    let length = u16::try_from(text.len()).unwrap_or(u16::MAX);
    assert_eq!(usize::from(length), text.len(), "a header of a few fields");
    [b"\x93NUMPY\x01\x00".as_slice(), &length.to_le_bytes(), text.as_bytes()].concat()
}

/// What zip asks of a reader: version 4.5 knows zip64.
const VERSION: u16 = 45;
/// Method 8 is deflate.
const DEFLATE: u16 = 8;
/// The flag that says that checksum and lengths follow the compressed bytes.
const LENGTHS_FOLLOW: u16 = 1 << 3;
/// 1980-01-01, in the format of MS-DOS: day 1 of month 1.
const DATE: u16 = 1 << 5 | 1;
/// A 32-bit field whose value stands in the zip64 field.
const IN_ZIP64: u32 = u32::MAX;
/// The tag of the zip64 field.
const ZIP64: u16 = 1;

/// Little-endian fields, one after the other.
#[derive(Default)]
struct Fieldwise(Vec<u8>);

impl Fieldwise {
    fn u16(mut self, value: u16) -> Self {
        self.0.extend(value.to_le_bytes());
        self
    }

    fn u32(mut self, value: u32) -> Self {
        self.0.extend(value.to_le_bytes());
        self
    }

    fn u64(mut self, value: u64) -> Self {
        self.0.extend(value.to_le_bytes());
        self
    }

    fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend(bytes);
        self
    }

    /// The fields that a file's two headers have in common: version, flags, method, time, checksum, lengths, and the length of the name.
    fn entry(self, crc: u32) -> Self {
        self.u16(VERSION).u16(LENGTHS_FOLLOW).u16(DEFLATE).u16(0).u16(DATE).u32(crc).u32(IN_ZIP64).u32(IN_ZIP64).u16(NAME_LENGTH)
    }
}

const NAME_LENGTH: u16 = 8;
const _: () = assert!(NAME.len() == NAME_LENGTH as usize);

fn local_header() -> Vec<u8> {
    let head = Fieldwise::default().bytes(b"PK\x03\x04").entry(0).u16(20).bytes(NAME);
    head.u16(ZIP64).u16(16).u64(0).u64(0).0
}

/// What follows the compressed bytes: their checksum and lengths, the archive's directory of one entry, and the end records, of zip64 and of zip.
fn tail(crc: u32, compressed: u64, length: u64) -> Vec<u8> {
    let lengths = Fieldwise::default().bytes(b"PK\x07\x08").u32(crc).u64(compressed).u64(length).0;
    let begin = local_header().len() as u64 + compressed + lengths.len() as u64;
    let entry = Fieldwise::default().bytes(b"PK\x01\x02").u16(VERSION).entry(crc).u16(20).u16(0).u16(0).u16(0).u32(0).u32(0).bytes(NAME);
    let entry = entry.u16(ZIP64).u16(16).u64(length).u64(compressed).0;
    let size = entry.len() as u64;
    // 44 bytes of the record follow its own length.
    let zip64_end =
        Fieldwise::default().bytes(b"PK\x06\x06").u64(44).u16(VERSION).u16(VERSION).u32(0).u32(0).u64(1).u64(1).u64(size).u64(begin);
    let locator = Fieldwise::default().bytes(b"PK\x06\x07").u32(0).u64(begin + size).u32(1);
    let zip_end = Fieldwise::default().bytes(b"PK\x05\x06").u16(0).u16(0).u16(1).u16(1).u32(IN_ZIP64).u32(IN_ZIP64).u16(0);
    [lengths, entry, zip64_end.0, locator.0, zip_end.0].concat()
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::DeflateDecoder;

    use super::*;

    const FIELDS: Fields = &[("ev", "<u8"), ("px", "<f8")];
    const BEGIN: usize = 58;

    fn archive(records: &[[u8; 16]], said: u64) -> io::Result<Vec<u8>> {
        let mut writer = NpzWriter::begin(Vec::new(), FIELDS, 16, said)?;
        for record in records {
            writer.write(record)?;
        }
        writer.finish()
    }

    fn u64_at(bytes: &[u8], at: usize) -> u64 {
        u64::from_le_bytes(bytes[at..at + 8].try_into().expect("8 bytes"))
    }

    fn place(value: u64) -> usize {
        usize::try_from(value).expect("small")
    }

    #[test]
    fn an_archive_holds_one_array_whose_header_names_its_fields() {
        let bytes = archive(&[[1; 16], [2; 16]], 2).expect("written");
        assert_eq!((&bytes[..4], &bytes[30..38]), (b"PK\x03\x04".as_slice(), NAME));
        // From the end: the locator names the place of the zip64 record, which names that of the directory.
        let locator = &bytes[bytes.len() - 22 - 20..];
        let zip64 = &bytes[place(u64_at(locator, 8))..];
        assert_eq!((&locator[..4], &zip64[..4]), (b"PK\x06\x07".as_slice(), b"PK\x06\x06".as_slice()));
        let entry = &bytes[place(u64_at(zip64, 48))..];
        assert_eq!((&entry[..4], u64_at(zip64, 40)), (b"PK\x01\x02".as_slice(), 46 + 8 + 20));
        let (length, compressed) = (u64_at(entry, 58), u64_at(entry, 66));
        let end = BEGIN + place(compressed);
        let mut array = Vec::new();
        DeflateDecoder::new(&bytes[BEGIN..end]).read_to_end(&mut array).expect("deflate");
        assert_eq!(array.len() as u64, length);
        let mut crc = Crc::new();
        crc.update(&array);
        assert_eq!(entry[16..20], crc.sum().to_le_bytes());
        assert_eq!(bytes[end..end + 8], [b"PK\x07\x08".as_slice(), &crc.sum().to_le_bytes()].concat());
        assert_eq!((u64_at(&bytes, end + 8), u64_at(&bytes, end + 16)), (compressed, length));

        assert_eq!(&array[..8], b"\x93NUMPY\x01\x00");
        let text_length = usize::from(u16::from_le_bytes([array[8], array[9]]));
        assert_eq!((10 + text_length) % 64, 0);
        let text = std::str::from_utf8(&array[10..10 + text_length]).expect("text");
        assert_eq!(text.trim_end(), "{'descr': [('ev', '<u8'), ('px', '<f8')], 'fortran_order': False, 'shape': (2,), }");
        assert!(text.ends_with('\n'));
        assert_eq!(&array[10 + text_length..], [[1u8; 16], [2; 16]].concat());
    }

    #[test]
    fn a_number_of_records_that_was_not_said_ends_no_file() {
        assert!(archive(&[[1; 16]], 2).is_err());
        assert!(archive(&[[1; 16]], 0).is_err());
        assert!(archive(&[], 0).is_ok());
    }
}
