"""Whether the sticker's password is kept on purpose, and the way back after a lost one."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("station", "0010_encrypted_request")]

    operations = [
        migrations.CreateModel(
            name="PasswordRecovery",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("requested_at", models.DateTimeField()),
                ("boot_id", models.CharField(max_length=36)),
                ("asked_after", models.DurationField()),
                ("opened_in_boot", models.CharField(blank=True, default="", max_length=36)),
            ],
            options={
                "verbose_name": "password recovery",
                "verbose_name_plural": "password recoveries",
            },
        ),
        migrations.AddField(
            model_name="userprofile",
            name="kept_factory_password_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
    ]
