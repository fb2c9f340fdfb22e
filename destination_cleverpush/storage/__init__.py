"""Bytes by name, in a directory, S3, Google Cloud Storage or Azure; no word about what they mean.

The cloud stores are reached through obstore (Rust's `object_store` in one wheel). fsspec was the other candidate: it
needs one more package per cloud (s3fs with aiobotocore, gcsfs, adlfs), dozens of packages in all, each with errors,
retries and time-outs of its own. obstore has one set of errors, one bounded retry policy and one set of time-outs for
the three, releases the interpreter while it waits, and writes an object in one atomic request. What it does not do is
done here: it assumes no AWS role by access key (:mod:`.aws_role`), and its local store neither syncs to disk nor
keeps other users out of the files (:mod:`.local`). It is imported only when a cloud store is opened.
"""
