"""A FLAC file that is small and long: silence, in as few bytes as the format allows."""

BLOCK = 65_535  # samples in a frame, the most there can be
RATE_HZ, CHANNELS = 384_000, 8
_CRC8 = [0] * 256
_CRC16 = [0] * 256
for _value in range(256):
    _low, _high = _value, _value << 8
    for _ in range(8):
        _low = (_low << 1 ^ (0x07 if _low & 0x80 else 0)) & 0xFF
        _high = (_high << 1 ^ (0x8005 if _high & 0x8000 else 0)) & 0xFFFF
    _CRC8[_value], _CRC16[_value] = _low, _high


def silence(seconds: float) -> bytes:
    """*seconds* of eight silent channels at 384 kHz: some 60 bytes for each sixth of a second."""
    frames = round(seconds * RATE_HZ / BLOCK)
    about = (RATE_HZ << 44 | (CHANNELS - 1) << 41 | (16 - 1) << 36 | frames * BLOCK).to_bytes(8)
    sizes = BLOCK.to_bytes(2) * 2 + bytes(6)
    return b"fLaC\x80\0\0\x22" + sizes + about + bytes(16) + b"".join(map(_frame, range(frames)))


def _frame(number: int) -> bytes:
    """Sync code, sizes, a constant for each channel, and the checksums."""
    code = bytes([0xFF, 0xF8, 0x70, (CHANNELS - 1) << 4 | 0x08])
    head = code + _as_utf8(number) + (BLOCK - 1).to_bytes(2)
    head += bytes([_checksum(head, _CRC8, 8)])
    frame = head + b"\0\0\0" * CHANNELS
    return frame + _checksum(frame, _CRC16, 16).to_bytes(2)


def _as_utf8(number: int) -> bytes:
    return chr(number).encode("utf-8", "surrogatepass")


def _checksum(data: bytes, table: list[int], bits: int) -> int:
    value = 0
    for byte in data:
        value = (value << 8 & (1 << bits) - 1) ^ table[value >> bits - 8 ^ byte]
    return value
