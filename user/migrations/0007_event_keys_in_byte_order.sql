-- Names of events are compared for being equal, never shown in an order: byte by byte, without the rules of a language.
ALTER TABLE notice ALTER COLUMN event_key TYPE text COLLATE "C";
