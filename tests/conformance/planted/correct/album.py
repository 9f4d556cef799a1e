# SPDX-License-Identifier: Apache-2.0
"""A small image service that keeps the whole contract: two files for each image."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import re
import uuid
from pathlib import Path

from oslo_config import cfg

from drivers.interface.errors import ImageCopyFailure, ImageNotFound
from drivers.interface.image import ImageService

LOG = logging.getLogger(__name__)
ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class AlbumImages(ImageService):
    OPTS = [
        cfg.StrOpt("album_path", default="$state_path/album", help="Directory of the images."),
        cfg.StrOpt("album_password", default="", secret=True, help="Password of the album."),
    ]

    def __init__(self, conf):
        super().__init__(conf)
        self._root = Path(conf.album_path)

    def check(self):
        try:
            self._root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ImageCopyFailure(f"album_path = {self._root}: {error.strerror}") from error

    def show(self, context, image_id):
        try:
            return json.loads(self._file(image_id, ".facts").read_text())
        except OSError as error:
            raise ImageNotFound(f"image {image_id} is not in {self._root}") from error

    def download(self, context, image_id, data=None):
        if self.show(context, image_id)["status"] != "active":
            raise ImageNotFound(f"image {image_id} has no data")
        if data is None:
            return self._chunks(image_id)
        for chunk in self._chunks(image_id):
            data.write(chunk)
        return None

    def update(self, context, image_id, image_meta, data=None, **_):
        known = {**self.show(context, image_id), **image_meta}
        if data is not None:
            read = getattr(data, "read", None)
            chunks = iter(lambda: read(65536), b"") if read else data
            new, md5, size = self._new(image_id, ".data"), hashlib.md5(usedforsecurity=False), 0
            try:
                with new.open("wb") as file:
                    for chunk in chunks:
                        file.write(chunk)
                        md5.update(chunk)
                        size += len(chunk)
            except BaseException:
                new.unlink(missing_ok=True)
                raise
            self._note({**known, "status": "queued", "size": None, "checksum": None})
            new.rename(self._file(image_id, ".data"))
            known |= {"status": "active", "size": size, "checksum": md5.hexdigest()}
        self._note(known)
        return known

    def delete(self, context, image_id):
        for name in (".facts", ".data"):
            self._file(image_id, name).unlink(missing_ok=True)
            self._new(image_id, name).unlink(missing_ok=True)

    def create(self, context, image_meta, data=None):
        image_id = image_meta.get("id") or str(uuid.uuid4())
        with contextlib.suppress(FileNotFoundError):
            self._file(image_id, ".data").unlink()
        facts = {
            "name": None,
            "status": "queued",
            "size": None,
            "checksum": None,
            "min_disk": 0,
            "min_ram": 0,
            "virtual_size": None,
            "properties": {},
            "disk_format": "raw",
            "container_format": "bare",
        }
        self._note({**facts, **image_meta, "id": image_id})
        return self.update(context, image_id, {}, data)

    def get_location(self, context, image_id):
        url = self._file(image_id, ".data").as_uri()
        return url, [{"url": url, "metadata": {}}]

    def _note(self, facts):
        new = self._new(facts["id"], ".facts")
        new.write_text(json.dumps(facts))
        new.rename(self._file(facts["id"], ".facts"))

    def _chunks(self, image_id):
        with self._file(image_id, ".data").open("rb") as file:
            yield from iter(lambda: file.read(65536), b"")

    def _file(self, image_id, suffix):
        if not isinstance(image_id, str) or not ID.fullmatch(image_id):
            raise ImageNotFound(f"{image_id!r:.80} is no id of an image")
        return self._root / f"{image_id}{suffix}"

    def _new(self, image_id, suffix):
        return self._file(image_id, suffix).with_name(f".new-{image_id}{suffix}")
