"""Tables from elsewhere: every defect is named with its row, none is guessed over."""

import gzip

import pytest

from parity.errors import DataError
from parity.files.tables import read_table


def write(tmp_path, name, text):
    path = tmp_path / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return path


def test_csv_jsonl_and_gzip_read_alike(tmp_path):
    csv = read_table(write(tmp_path, "a.csv", "item,score\nx,1\ny,0\n"))
    zipped = read_table(write(tmp_path, "a.csv.gz", "item,score\nx,1\ny,0\n"))
    lines = read_table(write(tmp_path, "a.jsonl", '{"item": "x", "score": 1}\n{"item": "y", "score": 0}\n'))
    assert csv.rows == zipped.rows == lines.rows
    assert csv.item_ids() == ["x", "y"]


def test_subject_and_row_name_an_item(tmp_path):
    assert read_table(write(tmp_path, "a.csv", "subject,row,m\nanatomy,0,A\n")).item_ids() == ["anatomy/0"]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "item,score\nx,1\nx,0\n", "in rows 1 and 2"),
        ("a.csv", "item,score\n,1\n", "row 1 has an empty id"),
        ("a.csv", "name,score\nx,1\n", "no column that names the items"),
        ("a.csv", "item,score\nx\n", "row 1 has 1 cells"),
        ("a.csv", 'item,score\n"x,1\n', "not CSV"),
        ("a.csv", "item,item\nx,1\n", "column name twice"),
        ("a.csv", "", "empty"),
        ("a.csv", "item,score\n", "no rows"),
        ("a.jsonl", "{]\n", "line 1, is not JSON"),
        ("a.jsonl", "[1]\n", "not a JSON object"),
        ("a.jsonl.gz", '{"id": 1}\n\n' + "[" * 100_000, "line 3, is not JSON"),
    ],
)
def test_defects_are_named(tmp_path, name, text, message):
    with pytest.raises(DataError, match=message):
        read_table(write(tmp_path, name, text)).item_ids()


def test_missing_truncated_and_binary_files(tmp_path):
    with pytest.raises(DataError, match="There is no file"):
        read_table(tmp_path / "none.csv")
    broken = tmp_path / "b.csv.gz"
    broken.write_bytes(gzip.compress(b"item,score\nx,1\n" * 100)[:-20])
    with pytest.raises(DataError, match="gzip"):
        read_table(broken)
    binary = tmp_path / "c.csv"
    binary.write_bytes(b"item\n\xff\xfe")
    with pytest.raises(DataError, match="UTF-8"):
        read_table(binary)


def test_a_misspelt_column_names_the_nearest(tmp_path):
    with pytest.raises(DataError, match="Did you mean 'score'"):
        read_table(write(tmp_path, "a.csv", "item,score\nx,1\n")).require("scores")
