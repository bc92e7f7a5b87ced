-- From where a replacement was asked for, as the door saw it.
ALTER TABLE generation ADD COLUMN caller TEXT;
