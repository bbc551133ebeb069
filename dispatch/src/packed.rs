//! The packed encoding: what the arguments and the result of a call look like as bytes.
//!
//! You give a value whose type implements [`Pack`]; you get bytes, and back again through [`Unpack`]. It is the "simple packed
//! serialization" of LLVM's ORC, so that the bytes mean the same to LLVM's tools:
//!
//! | value | bytes |
//! |---|---|
//! | `u8` … `u64`, `i8` … `i64` | little-endian, fixed width |
//! | `bool` | one byte, 0 or 1 |
//! | `str`, `String`, `[T]`, `Vec<T>` | `u64` count, then the elements |
//! | tuples, structs ([`packed_struct!`](crate::packed_struct)) | the fields, one after the other |
//! | `Option<T>` | `bool`, then the value if there is one |
//! | `Result<T, E>` ("expected") | `true` and the value, or `false` and the error |
//! | [`Status`] ("error") | `false`, or `true` and the text |
//! | `()` | nothing |
//!
//! The encoding does not describe itself: both sides must name the same type. It is not for files that outlive a version.
//!
//! Bytes may come from a hostile peer. Every count is checked against the bytes that remain before anything is allocated, what is
//! allocated ahead never exceeds the input's own length, and nesting is bounded: decoding ends in a value or in a [`PackError`].
//!
//! ```
//! use dispatch::packed::{from_bytes, to_bytes};
//!
//! let bytes = to_bytes(&("libm.so", 2u32));
//! assert_eq!(bytes, b"\x07\0\0\0\0\0\0\0libm.so\x02\0\0\0");
//! // The text is borrowed from the bytes: nothing is copied.
//! let (name, mode): (&str, u32) = from_bytes(&bytes)?;
//! assert_eq!((name, mode), ("libm.so", 2));
//! # Ok::<(), dispatch::PackError>(())
//! ```

use crate::error::PackError;

/// Sequences inside sequences beyond this depth are refused: a recursive type must not let its input choose our stack depth.
pub const MAX_DEPTH: u32 = 64;

/// A value that can be written in the packed encoding.
pub trait Pack {
    /// Appends the value's bytes to `out`.
    fn pack(&self, out: &mut Vec<u8>);

    /// Appends the elements of a sequence, without their count. Bytes override it with one copy.
    #[doc(hidden)]
    fn pack_elements(elements: &[Self], out: &mut Vec<u8>)
    where
        Self: Sized,
    {
        for element in elements {
            element.pack(out);
        }
    }
}

/// A value that can be read from the packed encoding; `'a` is the life of the bytes, which `&'a str` and `&'a [u8]` borrow.
pub trait Unpack<'a>: Sized {
    /// No value of this type takes fewer bytes: what a sequence's count is checked against.
    const MIN_SIZE: usize;

    /// Reads one value and moves the reader behind it.
    ///
    /// # Errors
    /// The bytes end too early or are no such value; the reader's position is then unspecified.
    fn unpack(reader: &mut Reader<'a>) -> Result<Self, PackError>;

    /// Reads the elements of a sequence whose count has been checked. Bytes override it with one copy.
    #[doc(hidden)]
    fn unpack_elements(reader: &mut Reader<'a>, count: usize) -> Result<Vec<Self>, PackError> {
        // An element may be larger in memory than on the wire; reserve no more than the input's own size and let the rest grow.
        let ahead = reader.remaining() / size_of::<Self>().max(1);
        let mut elements = Vec::with_capacity(count.min(ahead));
        for _ in 0..count {
            elements.push(Self::unpack(reader)?);
        }
        Ok(elements)
    }
}

/// The packed bytes of `value`.
pub fn to_bytes<T: Pack + ?Sized>(value: &T) -> Vec<u8> {
    let mut out = Vec::new();
    value.pack(&mut out);
    out
}

/// The value that `bytes` hold, all of them.
///
/// # Errors
/// The bytes end too early, go on behind the value, or are no such value.
pub fn from_bytes<'a, T: Unpack<'a>>(bytes: &'a [u8]) -> Result<T, PackError> {
    let mut reader = Reader::new(bytes);
    let value = T::unpack(&mut reader)?;
    match reader.remaining() {
        0 => Ok(value),
        extra => Err(PackError::Trailing { offset: reader.offset(), extra }),
    }
}

/// Walks through packed bytes; every step checks what remains.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    offset: usize,
    depth: u32,
}

impl<'a> Reader<'a> {
    /// A reader at the first of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Reader { bytes, offset: 0, depth: 0 }
    }

    /// How many bytes have been read.
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// How many bytes are left.
    pub fn remaining(&self) -> usize {
        self.bytes.len() - self.offset
    }

    /// The next `size` bytes, borrowed.
    ///
    /// # Errors
    /// Fewer bytes remain.
    pub fn take(&mut self, size: usize) -> Result<&'a [u8], PackError> {
        let rest = &self.bytes[self.offset..];
        let Some(taken) = rest.get(..size) else {
            return Err(PackError::Truncated { offset: self.offset, needed: size, remaining: rest.len() });
        };
        self.offset += size;
        Ok(taken)
    }

    /// The count of a sequence whose elements take at least `min_size` bytes each (0 counts as 1).
    ///
    /// # Errors
    /// That many elements cannot fit in what remains.
    pub fn count(&mut self, min_size: usize) -> Result<usize, PackError> {
        let offset = self.offset;
        let count = u64::unpack(self)?;
        let room = self.remaining() / min_size.max(1);
        match usize::try_from(count) {
            Ok(count) if count <= room => Ok(count),
            _ => Err(PackError::Count { offset, count, remaining: self.remaining() }),
        }
    }

    /// The next value.
    ///
    /// # Errors
    /// See [`Unpack::unpack`].
    pub fn unpack<T: Unpack<'a>>(&mut self) -> Result<T, PackError> {
        T::unpack(self)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], PackError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }
}

macro_rules! integers {
    ($($int:ty)*) => {$(
        impl Pack for $int {
            fn pack(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_le_bytes());
            }
        }
        impl<'a> Unpack<'a> for $int {
            const MIN_SIZE: usize = size_of::<$int>();
            fn unpack(reader: &mut Reader<'a>) -> Result<Self, PackError> {
                reader.array().map(<$int>::from_le_bytes)
            }
        }
    )*};
}
integers!(u16 u32 u64 i8 i16 i32 i64);

// A byte is an integer too, but sequences of them are copied in one piece.
impl Pack for u8 {
    fn pack(&self, out: &mut Vec<u8>) {
        out.push(*self);
    }
    fn pack_elements(elements: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(elements);
    }
}

impl<'a> Unpack<'a> for u8 {
    const MIN_SIZE: usize = 1;
    fn unpack(reader: &mut Reader<'a>) -> Result<Self, PackError> {
        Ok(reader.take(1)?[0])
    }
    fn unpack_elements(reader: &mut Reader<'a>, count: usize) -> Result<Vec<u8>, PackError> {
        reader.take(count).map(<[u8]>::to_vec)
    }
}

impl Pack for bool {
    fn pack(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }
}

impl<'a> Unpack<'a> for bool {
    const MIN_SIZE: usize = 1;
    fn unpack(reader: &mut Reader<'a>) -> Result<Self, PackError> {
        let offset = reader.offset();
        match u8::unpack(reader)? {
            0 => Ok(false),
            1 => Ok(true),
            value => Err(PackError::Bool { offset, value }),
        }
    }
}

impl<T: Pack> Pack for [T] {
    fn pack(&self, out: &mut Vec<u8>) {
        (self.len() as u64).pack(out);
        T::pack_elements(self, out);
    }
}

impl<T: Pack> Pack for Vec<T> {
    fn pack(&self, out: &mut Vec<u8>) {
        self.as_slice().pack(out);
    }
}

impl<'a, T: Unpack<'a>> Unpack<'a> for Vec<T> {
    const MIN_SIZE: usize = 8;
    fn unpack(reader: &mut Reader<'a>) -> Result<Self, PackError> {
        // Elements that take no bytes would let a count stand for nothing.
        const { assert!(T::MIN_SIZE > 0, "sequences of empty elements have no packed form") };
        let offset = reader.offset();
        let count = reader.count(T::MIN_SIZE)?;
        if reader.depth == MAX_DEPTH {
            return Err(PackError::Depth { offset, limit: MAX_DEPTH });
        }
        reader.depth += 1;
        let elements = T::unpack_elements(reader, count);
        reader.depth -= 1;
        elements
    }
}

impl<'a> Unpack<'a> for &'a [u8] {
    const MIN_SIZE: usize = 8;
    fn unpack(reader: &mut Reader<'a>) -> Result<Self, PackError> {
        let count = reader.count(1)?;
        reader.take(count)
    }
}

impl Pack for str {
    fn pack(&self, out: &mut Vec<u8>) {
        self.as_bytes().pack(out);
    }
}

impl Pack for String {
    fn pack(&self, out: &mut Vec<u8>) {
        self.as_bytes().pack(out);
    }
}

impl<'a> Unpack<'a> for &'a str {
    const MIN_SIZE: usize = 8;
    fn unpack(reader: &mut Reader<'a>) -> Result<Self, PackError> {
        let bytes = <&[u8]>::unpack(reader)?;
        let start = reader.offset() - bytes.len();
        std::str::from_utf8(bytes).map_err(|error| PackError::Utf8 { offset: start + error.valid_up_to() })
    }
}

impl<'a> Unpack<'a> for String {
    const MIN_SIZE: usize = 8;
    fn unpack(reader: &mut Reader<'a>) -> Result<Self, PackError> {
        <&str>::unpack(reader).map(str::to_owned)
    }
}

impl<T: Pack + ?Sized> Pack for &T {
    fn pack(&self, out: &mut Vec<u8>) {
        (**self).pack(out);
    }
}

impl<T: Pack> Pack for Option<T> {
    fn pack(&self, out: &mut Vec<u8>) {
        self.is_some().pack(out);
        if let Some(value) = self {
            value.pack(out);
        }
    }
}

impl<'a, T: Unpack<'a>> Unpack<'a> for Option<T> {
    const MIN_SIZE: usize = 1;
    fn unpack(reader: &mut Reader<'a>) -> Result<Self, PackError> {
        Ok(if bool::unpack(reader)? { Some(T::unpack(reader)?) } else { None })
    }
}

impl<T: Pack, E: Pack> Pack for Result<T, E> {
    fn pack(&self, out: &mut Vec<u8>) {
        self.is_ok().pack(out);
        match self {
            Ok(value) => value.pack(out),
            Err(error) => error.pack(out),
        }
    }
}

impl<'a, T: Unpack<'a>, E: Unpack<'a>> Unpack<'a> for Result<T, E> {
    const MIN_SIZE: usize = 1 + if T::MIN_SIZE < E::MIN_SIZE { T::MIN_SIZE } else { E::MIN_SIZE };
    fn unpack(reader: &mut Reader<'a>) -> Result<Self, PackError> {
        Ok(if bool::unpack(reader)? { Ok(T::unpack(reader)?) } else { Err(E::unpack(reader)?) })
    }
}

/// What LLVM calls `Error` on the wire: its flag says "failed", where that of a `Result<(), String>` says "succeeded".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status(pub Result<(), String>);

impl Pack for Status {
    fn pack(&self, out: &mut Vec<u8>) {
        self.0.as_ref().err().pack(out);
    }
}

impl<'a> Unpack<'a> for Status {
    const MIN_SIZE: usize = 1;
    fn unpack(reader: &mut Reader<'a>) -> Result<Self, PackError> {
        Ok(Status(Option::<String>::unpack(reader)?.map_or(Ok(()), Err)))
    }
}

impl Pack for () {
    fn pack(&self, _: &mut Vec<u8>) {}
}

impl<'a> Unpack<'a> for () {
    const MIN_SIZE: usize = 0;
    fn unpack(_: &mut Reader<'a>) -> Result<Self, PackError> {
        Ok(())
    }
}

macro_rules! tuples {
    ($(($($name:ident $index:tt),+))*) => {$(
        impl<$($name: Pack),+> Pack for ($($name,)+) {
            fn pack(&self, out: &mut Vec<u8>) {
                $(self.$index.pack(out);)+
            }
        }
        impl<'a, $($name: Unpack<'a>),+> Unpack<'a> for ($($name,)+) {
            const MIN_SIZE: usize = 0 $(+ $name::MIN_SIZE)+;
            fn unpack(reader: &mut Reader<'a>) -> Result<Self, PackError> {
                Ok(($($name::unpack(reader)?,)+))
            }
        }
    )*};
}
tuples! {
    (A 0)
    (A 0, B 1)
    (A 0, B 1, C 2)
    (A 0, B 1, C 2, D 3)
    (A 0, B 1, C 2, D 3, E 4)
    (A 0, B 1, C 2, D 3, E 4, F 5)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7)
}

/// Declares a struct and its packed form: the fields in the order written. The struct may borrow from the bytes through one lifetime.
///
/// ```
/// dispatch::packed_struct! {
///     /// One library to open.
///     #[derive(Debug, PartialEq)]
///     pub struct Open<'a> {
///         /// Its name.
///         pub name: &'a str,
///         /// Flags of dlopen(3).
///         pub mode: u32,
///     }
/// }
///
/// let bytes = dispatch::packed::to_bytes(&Open { name: "c", mode: 1 });
/// assert_eq!(dispatch::packed::from_bytes(&bytes), Ok(Open { name: "c", mode: 1 }));
/// ```
#[macro_export]
macro_rules! packed_struct {
    ($(
        $(#[$meta:meta])*
        $vis:vis struct $name:ident $(<$life:lifetime>)? {
            $( $(#[$field_meta:meta])* $field_vis:vis $field:ident : $type:ty ),* $(,)?
        }
    )*) => {$(
        $(#[$meta])*
        $vis struct $name $(<$life>)? {
            $( $(#[$field_meta])* $field_vis $field: $type, )*
        }

        impl $(<$life>)? $crate::packed::Pack for $name $(<$life>)? {
            fn pack(&self, out: &mut ::std::vec::Vec<u8>) {
                let _ = &out; // a struct without fields writes nothing
                $( $crate::packed::Pack::pack(&self.$field, out); )*
            }
        }

        $crate::packed_struct!(@unpack $name [$($life)?] { $($field: $type,)* });
    )*};
    (@unpack $name:ident [] { $($field:ident: $type:ty,)* }) => {
        impl<'packed> $crate::packed::Unpack<'packed> for $name {
            $crate::packed_struct!(@body 'packed { $($field: $type,)* });
        }
    };
    (@unpack $name:ident [$life:lifetime] { $($field:ident: $type:ty,)* }) => {
        impl<$life> $crate::packed::Unpack<$life> for $name<$life> {
            $crate::packed_struct!(@body $life { $($field: $type,)* });
        }
    };
    (@body $life:lifetime { $($field:ident: $type:ty,)* }) => {
        const MIN_SIZE: usize = 0 $(+ <$type as $crate::packed::Unpack<$life>>::MIN_SIZE)*;
        fn unpack(
            reader: &mut $crate::packed::Reader<$life>,
        ) -> ::std::result::Result<Self, $crate::PackError> {
            let _ = &reader; // a struct without fields reads nothing
            ::std::result::Result::Ok(Self {
                $( $field: <$type as $crate::packed::Unpack<$life>>::unpack(reader)?, )*
            })
        }
    };
}
