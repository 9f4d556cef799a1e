# SPDX-License-Identifier: Apache-2.0
"""Image services."""

from __future__ import annotations

from ..bug import Table

_T = Table("album", "images/test_images")
_NEW = 'return self._file(image_id, suffix).with_name(f".new-{image_id}{suffix}")'

BUGS = (
    _T.after(
        "an image without an id", "show", "answer = {k: answer[k] for k in answer if k != 'id'}"
    ),
    _T.after("an image of an unknown status", "show", "answer = {**answer, 'status': 'ready'}"),
    _T.after("an image that is always active", "show", "answer = {**answer, 'status': 'active'}"),
    _T.after("a size as text", "show", "answer = {**answer, 'size': str(answer['size'])}"),
    _T.after("properties that are None", "show", "answer = {**answer, 'properties': None}"),
    _T.after("a path in the metadata", "show", "answer = {**answer, 'path': self._root}"),
    _T.text(
        "a size in KiB", '"size": size, "checksum": md5', '"size": size // 1024, "checksum": md5'
    ),
    _T.text(
        "a checksum of the last chunk",
        "                        md5.update(chunk)\n",
        "                        md5 = hashlib.md5(chunk, usedforsecurity=False)\n",
    ),
    _T.text("no checksum", '"checksum": md5.hexdigest()}', '"checksum": None}'),
    _T.text(
        "an absent image is a FileNotFoundError",
        "        except OSError as error:\n            raise ImageNotFound",
        "        except KeyError as error:\n            raise ImageNotFound",
    ),
    _T.before(
        "an absent image is None",
        "show",
        "if ID.fullmatch(str(image_id)) and not self._file(image_id, '.facts').exists(): return None",
    ),
    _T.text(
        "ids are paths",
        "if not isinstance(image_id, str) or not ID.fullmatch(image_id):",
        "if False:",
    ),
    _T.text(
        "a strange id is a ValueError",
        'raise ImageNotFound(f"{image_id!r:.80} is no id of an image")',
        "raise ValueError(image_id)",
    ),
    _T.text(
        "an image without data is read empty",
        '            raise ImageNotFound(f"image {image_id} has no data")',
        "            return iter(()) if data is None else None",
    ),
    _T.text(
        "only the first chunk is read",
        'yield from iter(lambda: file.read(65536), b"")',
        "yield file.read(65536)",
    ),
    _T.text(
        "the last byte is not read",
        'yield from iter(lambda: file.read(65536), b"")',
        "yield file.read()[:-1]",
    ),
    _T.after(
        "data is returned at once",
        "download",
        "answer = b''.join(answer) if data is None else None",
    ),
    _T.after(
        "a download to a file returns it",
        "download",
        "answer = data if data is not None else answer",
    ),
    _T.text(
        "a download to a file writes nothing",
        "            data.write(chunk)\n",
        "            pass\n",
    ),
    _T.text(
        "data is read once",
        "            return self._chunks(image_id)\n        for",
        "            chunks = list(self._chunks(image_id)); self._file(image_id, '.data').write_bytes(b''); return iter(chunks)\n        for",
    ),
    _T.text(
        "files are not read",
        'chunks = iter(lambda: read(65536), b"") if read else data',
        "chunks = data",
    ),
    _T.text(
        "chunks are joined by lines",
        "file.write(chunk)\n                        md5",
        "file.write(chunk + b'\\n')\n                        md5",
    ),
    _T.text(
        "data is appended",
        'with new.open("wb") as file:',
        'self._file(image_id, ".data").exists() and new.write_bytes(self._file(image_id, ".data").read_bytes())\n                with new.open("ab") as file:',
    ),
    _T.text(
        "zeros are left out",
        "                        file.write(chunk)\n",
        "                        any(chunk) and file.write(chunk)\n",
    ),
    _T.text(
        "metadata replaces all",
        "known = {**self.show(context, image_id), **image_meta}",
        "known = {'id': image_id, 'status': self.show(context, image_id)['status'], **image_meta}",
    ),
    _T.text(
        "metadata is not written",
        '            known |= {"status": "active", "size": size, "checksum": md5.hexdigest()}\n        self._note(known)\n',
        '            known |= {"status": "active", "size": size, "checksum": md5.hexdigest()}\n            self._note(known)\n',
    ),
    _T.text(
        "metadata alone activates",
        '            known |= {"status": "active", "size": size',
        '            known |= {"size": size',
        "        self._note(known)\n        return known",
        "        known['status'] = 'active'\n        self._note(known)\n        return known",
    ),
    _T.text(
        "metadata alone queues",
        "known = {**self.show(context, image_id), **image_meta}",
        "known = {**self.show(context, image_id), **image_meta}; known['status'] = 'queued'",
    ),
    _T.text("data stays queued", '"status": "active", "size"', '"status": "queued", "size"'),
    _T.after("update returns the given metadata", "update", "answer = dict(image_meta)"),
    _T.after("update returns nothing", "update", "answer = None"),
    _T.text(
        "a broken source is an image",
        "            except BaseException:\n                new.unlink(missing_ok=True)\n                raise",
        "            except Exception:\n                pass",
    ),
    _T.text(
        "a broken source leaves a file",
        "            except BaseException:\n                new.unlink(missing_ok=True)\n                raise",
        "            except BaseException:\n                new.rename(new.with_name('.broken'))\n                raise",
    ),
    _T.text(
        "data is written in place",
        'new, md5, size = self._new(image_id, ".data")',
        'new, md5, size = self._file(image_id, ".data")',
        "            except BaseException:\n                new.unlink(missing_ok=True)\n                raise",
        "            except BaseException:\n                raise",
        '            new.rename(self._file(image_id, ".data"))\n',
        "",
    ),
    _T.text(
        "the size is noted first",
        '            self._note({**known, "status": "queued", "size": None, "checksum": None})\n            new.rename',
        '            self._note({**known, "status": "active", "size": size, "checksum": md5.hexdigest()})\n            new.rename',
    ),
    _T.text("one temporary name for all", _NEW, 'return self._root / f".new{suffix}"'),
    _T.text(
        "random temporary names",
        _NEW,
        'import os; return self._root / f".new-{os.urandom(4).hex()}"',
        '            self._note({**known, "status": "queued", "size": None, "checksum": None})\n',
        "",
    ),
    _T.text(
        "a temporary name of the process",
        _NEW,
        'import os; return self._file(image_id, suffix).with_name(f".new-{os.getpid()}-{image_id}{suffix}")',
    ),
    _T.text(
        "delete leaves temporary files",
        "            self._new(image_id, name).unlink(missing_ok=True)\n",
        "",
    ),
    _T.text(
        "delete leaves the data", 'for name in (".facts", ".data"):', 'for name in (".facts",):'
    ),
    _T.text(
        "delete leaves the metadata", 'for name in (".facts", ".data"):', 'for name in (".data",):'
    ),
    _T.text(
        "delete of an absent image is an error",
        "            self._file(image_id, name).unlink(missing_ok=True)\n",
        "            self._file(image_id, name).unlink()\n",
    ),
    _T.after("delete removes all", "delete", "for p in self._root.iterdir(): p.unlink()"),
    _T.after("delete answers", "delete", "answer = True"),
    _T.text(
        "create ignores the id",
        'image_id = image_meta.get("id") or str(uuid.uuid4())',
        "image_id = str(uuid.uuid4())",
    ),
    _T.text(
        "create by name",
        'image_id = image_meta.get("id") or str(uuid.uuid4())',
        'image_id = image_meta.get("id") or str(uuid.uuid5(uuid.NAMESPACE_DNS, str(image_meta.get("name"))))',
    ),
    _T.text(
        "create keeps old data",
        '        with contextlib.suppress(FileNotFoundError):\n            self._file(image_id, ".data").unlink()\n',
        "",
        'for name in (".facts", ".data"):\n            self._file(image_id, name).unlink(missing_ok=True)\n',
        'for name in (".facts", ".data"):\n            name == ".facts" and self._file(image_id, name).unlink(missing_ok=True)\n',
    ),
    _T.text(
        "create drops properties",
        '{**facts, **image_meta, "id": image_id}',
        '{**facts, **{k: image_meta[k] for k in image_meta if k != "properties"}, "id": image_id}',
    ),
    _T.before(
        "create again is an error",
        "create",
        "if image_meta.get('id') and self._file(image_meta['id'], '.facts').exists(): raise ImageCopyFailure('exists')",
    ),
    _T.after("a location that is one address", "get_location", "answer = answer[0]"),
    _T.after("a location without a list", "get_location", "answer = (answer[0], answer[1][0])"),
    _T.after("a location that is a path", "get_location", "answer = (self._root, None)"),
    _T.before(
        "the password in a log line",
        "update",
        "LOG.info('album with %s', self.conf.album_password)",
    ),
    _T.after("an update leaves a temporary file", "update", "import tempfile; tempfile.mkstemp()"),
    _T.after(
        "an update leaves an open file",
        "update",
        "self.__class__.LEAK = [*getattr(self, 'LEAK', ()), self._file(image_id, '.facts').open()]",
    ),
    _T.text(
        "the image at work is kept in the service",
        '            new.rename(self._file(image_id, ".data"))\n',
        '            new.rename(self._file(self._now, ".data"))\n',
        "        if data is not None:\n            read =",
        "        self._now = image_id\n        if data is not None:\n            read =",
    ),
    _T.text(
        "the size at work is kept in the service",
        "                        size += len(chunk)\n",
        "                        size += len(chunk); self._size = size\n",
        '"size": size, "checksum": md5',
        '"size": getattr(self, "_size", 0), "checksum": md5',
    ),
)
