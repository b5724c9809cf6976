-- What uploads through the proxy were: their SHA-256, computed on the way. Good for an object only while its entity tag
-- and size are these: clients may change it in the store behind our back.

-- uri: that of the store's root, '/', the key.
CREATE TABLE artifact_objects (
	uri             text COLLATE "C" PRIMARY KEY,
	etag            text COLLATE "C" NOT NULL,
	size            bigint NOT NULL,
	sha256          bytea NOT NULL,
	made_at         bigint NOT NULL,
	CONSTRAINT artifact_objects_sha256 CHECK (length(sha256) = 32)
);
