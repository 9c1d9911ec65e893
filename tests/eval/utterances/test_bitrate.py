import zlib

from tadicodec.eval.utterances.bitrate import Bits, count_bits, deflate, total


def test_bits_by_hand():
    bits = count_bits(14 * 25, "naïve", prompt_bytes=100)  # 25 codes are 4 s
    assert (bits.codes, bits.text_raw, bits.prompt) == (350, 48, 800)
    rates = bits.per_second(4.0)
    assert rates["codes"] == 87.5 and rates["text_raw"] == 12 and rates["prompt"] == 200
    assert rates["codes_and_text"] == (350 + bits.text_compressed) / 4
    assert rates["total"] == (350 + bits.text_compressed + 800) / 4


def test_no_text_costs_nothing():
    assert count_bits(14, "") == Bits(14, 0, 0, 0)


def test_compression_never_costs():
    assert count_bits(14, "no").text_compressed == 16
    assert count_bits(14, "again and again and again and again").text_compressed < 8 * 36


def test_compressed_text_can_be_read_again():
    text = b"the same words the same words the same words"
    assert zlib.decompress(deflate(text), -15) == text and len(deflate(text)) < len(text)


def test_sum():
    assert total([Bits(1, 2, 3, 4), Bits(10, 20, 30, 40)]) == Bits(11, 22, 33, 44)


def test_files_are_counted_whole() -> None:
    bits = Bits(140, 80, 64, file=400, squeezed_codes=70.5, squeezed_text=29.5, squeezed_file=240)
    rates = bits.per_second(2.0)
    assert rates["file"] == 200 and rates["header"] == 90 and rates["squeezed_header"] == 70
    assert rates["sent"] == rates["squeezed_file"] == 120
    assert Bits(140, 80, 64).sent == 204 and Bits(140, 80, 64, file=400).sent == 400
